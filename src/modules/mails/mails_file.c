/* Mails as files, for development: readable as they are, and by mail programs. Blocking: for
 * threads of a pool. */
#include "modules/mails/mails_internal.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the text ------------------------------------------------------------------------------ */

static void add_lines(struct buf *buf, struct str text)
{
	while (text.at) {
		struct str line = str_cut(&text, '\n');

		buf_append(buf, line);
		if (text.at)
			buf_append(buf, S("\r\n"));
	}
	buf_append(buf, S("\r\n"));
}

/* The id of a mail is one of its kind, so no line of ours can be the boundary by accident. */
static void add_part(struct buf *buf, const struct mail *mail, const char *type, struct str text)
{
	buf_printf(buf,
		"--%.*s\r\nContent-Type: text/%s; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\n\r\n",
		STR_ARG(mail->id), type);
	add_lines(buf, text);
}

static void write_mail(struct buf *buf, const struct mail *mail)
{
	for (enum mail_header header = 0; header < MAIL_HEADERS; header++) {
		size_t before = buf->len;

		mail_header_write(mail, header, buf);
		if (buf->len > before)
			buf_append(buf, S("\r\n"));
	}
	buf_printf(buf,
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; "
		"boundary=\"%.*s\"\r\n\r\n",
		STR_ARG(mail->id));
	add_part(buf, mail, "plain", mail->text);
	add_part(buf, mail, "html", mail->html);
	buf_printf(buf, "--%.*s--\r\n", STR_ARG(mail->id));
}

/* --- the file -------------------------------------------------------------------------------- */

static int write_all(int fd, struct str text)
{
	while (text.len) {
		ssize_t n = write(fd, text.at, text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(ERR_IO, "write: %s", err_errno_text(errno));
		text = str_from(text, (size_t)n);
	}
	return 0;
}

static int write_file(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return fail(ERR_IO, "%s: %s", path, err_errno_text(errno));
	r = write_all(fd, text);
	if (close(fd) < 0 && r == 0)
		r = fail(ERR_IO, "%s: %s", path, err_errno_text(errno));
	return r;
}

/* The same mail again takes the place of the former one. */
static int put_file(const struct mail_file *file, struct str text)
{
	char path[MAIL_FOLDER_MAX + 100], hidden[MAIL_FOLDER_MAX + 100];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%.*s", file->folder, STR_ARG(file->name));
	(void)snprintf(hidden, sizeof(hidden), "%s/.%.*s.new", file->folder, STR_ARG(file->name));
	if (mkdir(file->folder, 0700) < 0 && errno != EEXIST)
		return fail(ERR_IO, "%s: %s", file->folder, err_errno_text(errno));
	r = write_file(hidden, text);
	if (r == 0 && rename(hidden, path) < 0)
		r = fail(ERR_IO, "%s: %s", path, err_errno_text(errno));
	if (r < 0)
		(void)unlink(hidden);
	return r;
}

void mail_file_write(void *arg)
{
	struct mail_file *file = arg;
	struct buf text;

	buf_init(&text, 4 * (size_t)MAIL_BODY_MAX);
	write_mail(&text, file->mail);
	file->result = text.failed ? text.failed : put_file(file, buf_str(&text));
	file->err = *err_last();
	buf_done(&text);
}

/* --- not too many of them ------------------------------------------------- */

static int is_mail(const struct dirent *entry)
{
	return str_ends(str_from_c(entry->d_name), S(".eml"));
}

/* Names begin with their time, so the oldest come first. */
void mail_files_prune(void *arg)
{
	const char *folder = ((const struct mail_file *)arg)->folder;
	char path[MAIL_FOLDER_MAX + 300];
	struct dirent **entries;
	int count = scandir(folder, &entries, is_mail, alphasort);

	for (int i = 0; i < count; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		if (i < count - MAIL_FILES_MAX)
			(void)unlink(path);
		free(entries[i]);
	}
	if (count >= 0)
		free((void *)entries);
}
