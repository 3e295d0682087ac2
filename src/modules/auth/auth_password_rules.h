/*
 * What a password may be. OWASP ASVS 5.0 section 6.2: length counts and nothing else; no rules of
 * composition, all characters allowed, nothing cut off; refused is what others have guessed
 * already, and what stands in the account itself.
 */
#ifndef MODULES_AUTH_PASSWORD_RULES_H
#define MODULES_AUTH_PASSWORD_RULES_H

#include "base/arena.h"

/*
 * The form that is hashed, so that one password is the same from every keyboard: spaces of all
 * kinds become U+0020, and the text its Unicode NFC; the two mappings of the OpaqueString profile
 * (RFC 8265 section 4.2). Its bytes live in the arena.
 *
 * Narrower than that profile only where it has to be: refused are control characters and code
 * points that Unicode does not assign, whose normal form is not settled. Characters that cannot be
 * seen, as emoji have them, are taken. -ERR_INVALID for those, for what is not UTF-8, for an empty
 * text, and for one of more than PASSWORD_MAX bytes before or after; then err_last()->rule says
 * which. Errors of the arena.
 */
int password_prepare(struct str given, struct arena *arena, struct str *ret);

/* What a new password must not be made of. Texts may be empty. */
struct password_context {
	struct str email;               /* its part before the @ counts, too */
	struct str name;                /* of the person */
	struct str tenant_slug, tenant; /* name of the tenant */
};

/*
 * Whether a prepared password may be chosen: 0, or -ERR_INVALID with a sentence for people and one
 * of these rules: "too_short" (fewer than `min` characters), "too_common", "is_known" (it is made
 * of the account's own texts). Without the file of breached ones, which auth_password_list.h has.
 */
int password_refuse(struct str prepared, const struct password_context *context, size_t min);

#endif
