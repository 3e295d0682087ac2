/* Files as constants of the program. */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

/*
 * EMBED_TEXT(notes_sql, "notes.sql"); makes a `const char notes_sql[]` of the file's bytes with a
 * NUL behind them. The path is as the compiler's working folder sees it. Whoever builds has to say
 * that the object depends on the file; our Makefile knows it of .sql files beside the source.
 */
#define EMBED_TEXT(symbol, path)                                                                   \
	__asm__(".pushsection .rodata\n"                                                           \
		".globl " #symbol "\n"                                                             \
		".hidden " #symbol "\n" #symbol ":\n"                                              \
		".incbin \"" path "\"\n"                                                           \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char symbol[] __attribute__((visibility("hidden")))

#endif
