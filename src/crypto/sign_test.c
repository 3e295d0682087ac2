/*
 * Keys and signatures: the examples of RFC 7515, 7638, 8032 and 8037, round trips, everything that
 * must be refused, many threads on one key.
 */
#include "crypto/sign.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "crypto/hex_test.h"

#include <pthread.h>

/* A P-256 key made for these tests. */
#define EC_PRIVATE                                                                                 \
	"-----BEGIN PRIVATE KEY-----\n"                                                            \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglx9bZfRSGplt9JoU\n"                       \
	"h3zJ5i6QJOC6OUDky0QUpWYIbGyhRANCAAToKToBsv2Y5W/WlqDSZUuEBs3lzsoO\n"                       \
	"+9oPpephpzFUBE3rtzpjLtZP7NzHU3tFdOmqR96AoYmPTCgZivA+du/D\n"                               \
	"-----END PRIVATE KEY-----\n"

#define EC_PUBLIC                                                                                  \
	"-----BEGIN PUBLIC KEY-----\n"                                                             \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"                       \
	"DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"                           \
	"-----END PUBLIC KEY-----\n"

static struct sign_key *from_pem(struct str pem)
{
	struct sign_key *key = NULL;

	REQUIRE(sign_key_from_pem(pem, &key) == 0);
	return key;
}

static struct sign_key *from_jwk(const struct sign_jwk *jwk)
{
	struct sign_key *key = NULL;

	REQUIRE(sign_key_from_jwk(jwk, &key) == 0);
	return key;
}

static struct sign_key *generate(enum sign_kind kind)
{
	struct sign_key *key = NULL;

	REQUIRE(sign_key_generate(kind, kind == SIGN_RS256 ? SIGN_RSA_BITS_MIN : 0, &key) == 0);
	return key;
}

/* --- published examples ---------------------------------------------------- */

static const struct sign_jwk rfc7515_rsa = {
	.kty = S_INIT("RSA"),
	.n = S_INIT("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qP"
		    "CJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47s"
		    "oMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
		    "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud"
		    "F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"),
	.e = S_INIT("AQAB"),
};

static const struct sign_jwk rfc7515_ec = {
	.kty = S_INIT("EC"),
	.crv = S_INIT("P-256"),
	.x = S_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
	.y = S_INIT("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
};

static const struct sign_jwk rfc8037_okp = {
	.kty = S_INIT("OKP"),
	.crv = S_INIT("Ed25519"),
	.x = S_INIT("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
};

#define RFC7515_PAYLOAD                                                                            \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"

TEST(sign_rfc7515_and_8037)
{
	static const struct {
		const struct sign_jwk *jwk;
		struct str message, signature;
	} cases[] = {
		{ &rfc7515_rsa, S_INIT("eyJhbGciOiJSUzI1NiJ9." RFC7515_PAYLOAD),
			S_INIT("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AA"
			       "uHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAyn"
			       "RFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZR"
			       "mB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv"
			       "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
			       "pGlUPQGe77Rw") },
		{ &rfc7515_ec, S_INIT("eyJhbGciOiJFUzI1NiJ9." RFC7515_PAYLOAD),
			S_INIT("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApm"
			       "WQxfKTUJqPP3-Kg6NU1Q") },
		{ &rfc8037_okp, S_INIT("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
			S_INIT("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhV"
			       "sPt9g7sVvpAr_MuM0KAg") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct sign_key *key = from_jwk(cases[i].jwk);
		char bytes[SIGN_SIGNATURE_MAX];
		size_t len = 0;

		EXPECT(base64_read(BASE64_URL, cases[i].signature, bytes, sizeof(bytes), &len));
		EXPECT_INT(len, sign_len(key));
		EXPECT_INT(sign_verify(key, cases[i].message, str_of(bytes, len)), 0);
		EXPECT_INT(sign_verify(key, S("other"), str_of(bytes, len)), -ERR_UNAUTHORIZED);
		EXPECT_INT(sign_verify(key, cases[i].message, str_of(bytes, len - 1)),
			-ERR_UNAUTHORIZED);
		EXPECT(!sign_key_private(key));
		sign_key_unref(key);
	}
}

TEST(sign_rfc8032)
{
	static const struct {
		struct str pem, public, message, signature;
	} cases[] = {
		{ S_INIT("-----BEGIN PRIVATE "
			 "KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/"
			 "VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			 "-----END PRIVATE KEY-----\n"),
			S_INIT("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
			S_INIT(""),
			S_INIT("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
			       "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100"
			       "b") },
		{ S_INIT("-----BEGIN PRIVATE "
			 "KEY-----\nMC4CAQAwBQYDK2VwBCIEIEzNCJso/"
			 "5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
			 "-----END PRIVATE KEY-----\n"),
			S_INIT("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
			S_INIT("72"),
			S_INIT("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
			       "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c0"
			       "0") },
		{ S_INIT("-----BEGIN PRIVATE "
			 "KEY-----\nMC4CAQAwBQYDK2VwBCIEIMWqjfQ/"
			 "n4N77bdELzHct7Fm04U1B28JS4XOOi4LRFj3\n"
			 "-----END PRIVATE KEY-----\n"),
			S_INIT("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
			S_INIT("af82"),
			S_INIT("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
			       "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40"
			       "a") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct sign_key *key = from_pem(cases[i].pem);
		struct hex message = unhex(cases[i].message);
		uint8_t public[32], made[SIGN_RAW_LEN];

		EXPECT(base64_read_exact(BASE64_URL, sign_key_jwk(key)->x, public, 32));
		EXPECT_HEX(public, sizeof(public), cases[i].public);
		EXPECT_INT(sign_make(key, HEX_STR(message), made, sizeof(made)), SIGN_RAW_LEN);
		EXPECT_HEX(made, sizeof(made), cases[i].signature);
		sign_key_unref(key);
	}
}

TEST(sign_thumbprints)
{
	static const struct sign_jwk rfc7638 = {
		.kty = S_INIT("RSA"),
		.n = S_INIT("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7"
			    "aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXA"
			    "rwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7"
			    "d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lF"
			    "d2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"),
		.e = S_INIT("AQAB"),
	};
	struct sign_key *rsa = from_jwk(&rfc7638), *okp = from_jwk(&rfc8037_okp);
	struct sign_key *ec = from_jwk(&rfc7515_ec);

	EXPECT_STR(sign_key_id(rsa), S("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
	EXPECT_STR(sign_key_id(okp), S("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
	EXPECT_STR(sign_key_id(ec), S("oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"));
	sign_key_unref(rsa);
	sign_key_unref(okp);
	sign_key_unref(ec);
}

/* --- round trips ----------------------------------------------------------- */

static void expect_signs_for(const struct sign_key *signer, const struct sign_key *verifier)
{
	uint8_t signature[SIGN_SIGNATURE_MAX];
	int len = sign_make(signer, S("message"), signature, sizeof(signature));

	EXPECT_INT(len, sign_len(signer));
	EXPECT_INT(sign_verify(verifier, S("message"), str_of((char *)signature, (size_t)len)), 0);
}

TEST(sign_keys_survive_text)
{
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		struct sign_key *key = generate(kind), *private, *public, *jwk;
		struct buf text;

		EXPECT(sign_key_private(key) && sign_key_kind(key) == kind);
		buf_init(&text, SIGN_PEM_MAX);
		REQUIRE(sign_key_write_private(key, &text) == 0);
		EXPECT(str_starts(buf_str(&text), S("-----BEGIN PRIVATE KEY-----\n")));
		private = from_pem(buf_str(&text));
		buf_reset(&text);
		REQUIRE(sign_key_write_public(private, &text) == 0);
		EXPECT(str_starts(buf_str(&text), S("-----BEGIN PUBLIC KEY-----\n")));
		public = from_pem(buf_str(&text));
		jwk = from_jwk(sign_key_jwk(public));

		EXPECT(sign_key_private(private) && !sign_key_private(public));
		EXPECT_INT(sign_key_write_private(public, &text), -ERR_INVALID);
		EXPECT_STR(sign_key_id(private), sign_key_id(key));
		EXPECT_STR(sign_key_id(public), sign_key_id(key));
		EXPECT_STR(sign_key_id(jwk), sign_key_id(key));
		EXPECT_INT(sign_key_kind(jwk), kind);
		expect_signs_for(key, public);
		expect_signs_for(private, jwk);

		sign_key_unref(key);
		sign_key_unref(private);
		sign_key_unref(public);
		sign_key_unref(jwk);
		buf_done(&text);
	}
}

TEST(sign_refuses_every_changed_byte)
{
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		struct sign_key *key = generate(kind), *other = generate(kind);
		char signature[SIGN_SIGNATURE_MAX + 1] = { 0 };
		size_t len = sign_len(key);

		REQUIRE(sign_make(key, S("message"), (uint8_t *)signature, len) == (int)len);
		for (size_t i = 0; i < len; i++) {
			signature[i] ^= (char)(1 << i % 8);
			test_note(sign_verify(key, S("message"), str_of(signature, len)) ==
					  -ERR_UNAUTHORIZED,
				__FILE__, __LINE__, "kind %d, byte %zu", kind, i);
			signature[i] ^= (char)(1 << i % 8);
		}
		EXPECT_INT(sign_verify(key, S("message"), str_of(signature, len)), 0);
		EXPECT_INT(
			sign_verify(key, S("massage"), str_of(signature, len)), -ERR_UNAUTHORIZED);
		EXPECT_INT(sign_verify(key, S("message"), str_of(signature, len + 1)),
			-ERR_UNAUTHORIZED);
		EXPECT_INT(sign_verify(key, S("message"), S("")), -ERR_UNAUTHORIZED);
		EXPECT_INT(sign_verify(other, S("message"), str_of(signature, len)),
			-ERR_UNAUTHORIZED);
		sign_key_unref(key);
		sign_key_unref(other);
	}
}

TEST(sign_make_refuses)
{
	struct sign_key *public = from_jwk(&rfc7515_ec), *private = generate(SIGN_ES256);
	uint8_t signature[SIGN_RAW_LEN];

	EXPECT_INT(sign_make(public, S("m"), signature, sizeof(signature)), -ERR_INVALID);
	EXPECT_INT(sign_make(private, S("m"), signature, SIGN_RAW_LEN - 1), -ERR_INVALID);
	sign_key_unref(public);
	sign_key_unref(private);
}

/* More keys than a thread keeps contexts, in turn, and keys that are gone. */
TEST(sign_more_keys_than_contexts)
{
	enum { KEYS = 70 };
	struct sign_key *keys[KEYS];
	uint8_t signatures[KEYS][SIGN_RAW_LEN];

	for (size_t i = 0; i < KEYS; i++) {
		keys[i] = generate(SIGN_ES256);
		REQUIRE(sign_make(keys[i], S("m"), signatures[i], SIGN_RAW_LEN) > 0);
	}
	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < KEYS; i++) {
			struct str own = str_of((char *)signatures[i], SIGN_RAW_LEN);
			struct str next = str_of((char *)signatures[(i + 1) % KEYS], SIGN_RAW_LEN);

			EXPECT_INT(sign_verify(keys[i], S("m"), own), 0);
			EXPECT_INT(sign_verify(keys[i], S("m"), next), -ERR_UNAUTHORIZED);
		}
	for (size_t i = 0; i < KEYS; i++)
		sign_key_unref(keys[i]);
}

/* --- keys that must be refused --------------------------------------------- */

static const struct {
	const char *name;
	struct str pem;
} bad_pems[] = {
	{ "P-384", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			  "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE+yo7Jfup1dZnA3WeG46SxuleM3Dvsf9g\n"
			  "4yCvJgy6hiG/+BgDy45K/6f1YhzUV71HIknsLrIHDaDJKkwEynPAfUIjL8/gafm5\n"
			  "/bJdRJumNpaOPP9XlJTzxZP0liXIQ3Hn\n"
			  "-----END PUBLIC KEY-----\n") },
	{ "X25519", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			   "MCowBQYDK2VuAyEA7xB0ydgG17OIVpFGCxHu4ditKpQa8IijDizB0sBooVE=\n"
			   "-----END PUBLIC KEY-----\n") },
	{ "X25519, private",
		S_INIT("-----BEGIN PRIVATE KEY-----\n"
		       "MC4CAQAwBQYDK2VuBCIEIKjkyYJqlicJ0YGOqWzZPCrz/NBuwFA3mlLREZfaBe9b\n"
		       "-----END PRIVATE KEY-----\n") },
	{ "Ed448", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			  "MEMwBQYDK2VxAzoAqjWhApo4YMPwaHAJxfAWDth497ZajqMOenV/Kc2vpLk0Gb3u\n"
			  "nBtRpOSh8VdO1XIOoqredmMPSTWA\n"
			  "-----END PUBLIC KEY-----\n") },
	{ "RSA with 1024 bits",
		S_INIT("-----BEGIN PUBLIC KEY-----\n"
		       "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC8X9Qvr7/5Aaj6RIFMpDapFgDO\n"
		       "AdYH8vqQBiE0CH0IHUeV2J/qsVgc9Enh7sqZTP9XkZQ/bs7gAfrsCTmCi/0JsbVf\n"
		       "sQvQIH+T0350SFbYLFVtmsPHqEMx7hGUwCrr4yfV3NbmbU4VlaEjvYHzPlgTRY9g\n"
		       "/0KvZqCqVh2Y56KsGQIDAQAB\n"
		       "-----END PUBLIC KEY-----\n") },
	{ "RSA-PSS", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			    "MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBAMOls/AP+oHfrUqY68mA8jbL\n"
			    "5hu7xSUI1SchmpIqJFhmxHymO/MXA14fBlx4Kd3ocMQHFt/2CN+PUJF+3YCO0joJ\n"
			    "sjJMAFrDUw345YfniiKdY69QNA/NZBf/yZNfwXQN2dNCaCIdhHpglW/9v/r5w6Fw\n"
			    "RQFGBrnAhpi11zM+mA+J25gIbfAO/VTyHMiHXuz55azD86Ys2CQUiM3eMIU/05MC\n"
			    "9xa4Ltoy2ayuyCrZXNdoad8eE00XV8Suexe0tBGh+CDgNtB1ZNTcTGIqvY6nQvWg\n"
			    "1NGpEzC1MJnUp6TfFdmzmzp4k6JyRGbUQ39PlB6xT64Zl8oFc3lRfAYc20o4rrkC\n"
			    "AwEAAQ==\n"
			    "-----END PUBLIC KEY-----\n") },
	{ "DSA", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			"MIIBvzCCATMGByqGSM44BAEwggEmAoGBAPw+UhQqgGVU5vdhd7j9CpZLNI4UCP3b\n"
			"mL1UWMWux+/Z9LU2vKCwmgMd60M2/1PD/uNO0LDz0T3U9rxOgOBGPKUoxiodhnjl\n"
			"Qmeu+gNTr8egXr8E3pPeAJD8bu0b6VNV3LTrI7+47fVMXY5HY9ksXhyAJoJSg5nU\n"
			"EsRWhxKzSU9BAh0A0zCEwfS98Ihyr5LZQhK3YeJusp00RGOXflbqgwKBgFUfPU3B\n"
			"yzWDtJhFuxmH0C4pUhcS+0o3/78URv7mJw3qYowItevW37rH9p8m6bOcX8Z5wwbZ\n"
			"/nj42k7Pf4jH16onXljsJHrgpPoLMEU6cD+QuF1z99/BP+TVBJPc657WliFSR2Qr\n"
			"choE9ccptkNh2yRnMCecgCGhSBjtqq0RfufFA4GFAAKBgQDdAF2rGPxVJuDrLk5U\n"
			"ieRbh+oH0QCQFX8GDS1RA2grhhI5pFMH8Fy2fpIWbvgIrFqCLpNuhx5hxzfezkiq\n"
			"GlpFr3muLLFH6pPnsxuDVHsmVRfpTOo6+R53N9Iap8ZU1Ntekyp6DqG1pSNgKBjF\n"
			"26GAJ+izPFhu1fQfT2WLjTvKdA==\n"
			"-----END PUBLIC KEY-----\n") },
	{ "traditional EC",
		S_INIT("-----BEGIN EC PRIVATE KEY-----\n"
		       "MHcCAQEEIJcfW2X0UhqZbfSaFId8yeYukCTgujlA5MtEFKVmCGxsoAoGCCqGSM49\n"
		       "AwEHoUQDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7KDvvaD6XqYacxVARN67c6Yy7W\n"
		       "T+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
		       "-----END EC PRIVATE KEY-----\n") },
	{ "encrypted", S_INIT("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
			      "MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAitQf1YR9a1BwIBCjAM\n"
			      "BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQ9GY+y1Y0xU8yFrkfMfjzVQSBkKLP\n"
			      "ohzKs6bU1JYv+ZUTeLCwEmrfwNWwPcQ5VhNpeNRQbKrfRE8hbX0UkC3tEfnf1tqj\n"
			      "HOwVN/D0XUtLZlDq3vvD1t4PhTPh9rirpMN2LiY6BXHPWdoD0SXlhFJAX8I/waNq\n"
			      "2mVmqj5F+7lsgwjoFWKABMYR31WHhVR4blpfHmQw61HL1aPqyf/dzxfVDhVUiA==\n"
			      "-----END ENCRYPTED PRIVATE KEY-----\n") },
	{ "private half of another key",
		S_INIT("-----BEGIN PRIVATE KEY-----\n"
		       "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglx9bZfRSGplt9JoU\n"
		       "h3zJ5i6QJOC6OUDky0QUpWYIbGyhRANCAARrF9Hy4SxCR/i85uVjpEDydwN9gS3r\n"
		       "M6D0oTlF2JjClk/jQuL+Gn+bjufrSnwPnhYrzjNXazFezsu2QGg3v1H1\n"
		       "-----END PRIVATE KEY-----\n") },
	{ "a byte behind the private key",
		S_INIT("-----BEGIN PRIVATE KEY-----\n"
		       "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglx9bZfRSGplt9JoU\n"
		       "h3zJ5i6QJOC6OUDky0QUpWYIbGyhRANCAAToKToBsv2Y5W/WlqDSZUuEBs3lzsoO\n"
		       "+9oPpephpzFUBE3rtzpjLtZP7NzHU3tFdOmqR96AoYmPTCgZivA+du/DAA==\n"
		       "-----END PRIVATE KEY-----\n") },
	{ "a byte behind the public key",
		S_INIT("-----BEGIN PUBLIC KEY-----\n"
		       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
		       "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvwwA=\n"
		       "-----END PUBLIC KEY-----\n") },
	{ "not on the curve",
		S_INIT("-----BEGIN PUBLIC KEY-----\n"
		       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
		       "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvwg==\n"
		       "-----END PUBLIC KEY-----\n") },
	{ "cut short", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
			      "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbv\n"
			      "-----END PUBLIC KEY-----\n") },
	{ "public called private",
		S_INIT("-----BEGIN PRIVATE KEY-----\n"
		       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
		       "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
		       "-----END PRIVATE KEY-----\n") },
	{ "private called public",
		S_INIT("-----BEGIN PUBLIC KEY-----\n"
		       "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglx9bZfRSGplt9JoU\n"
		       "h3zJ5i6QJOC6OUDky0QUpWYIbGyhRANCAAToKToBsv2Y5W/WlqDSZUuEBs3lzsoO\n"
		       "+9oPpephpzFUBE3rtzpjLtZP7NzHU3tFdOmqR96AoYmPTCgZivA+du/D\n"
		       "-----END PUBLIC KEY-----\n") },
	{ "a certificate",
		S_INIT("-----BEGIN CERTIFICATE-----\n"
		       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
		       "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
		       "-----END CERTIFICATE-----\n") },
	{ "empty block", S_INIT("-----BEGIN PUBLIC KEY-----\n"
				"-----END PUBLIC KEY-----\n") },
	{ "two keys", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			     "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
			     "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
			     "-----END PUBLIC KEY-----\n"
			     "-----BEGIN PUBLIC KEY-----\n"
			     "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
			     "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
			     "-----END PUBLIC KEY-----\n") },
	{ "text before", S_INIT("subject=me\n"
				"-----BEGIN PUBLIC KEY-----\n"
				"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
				"DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
				"-----END PUBLIC KEY-----\n") },
	{ "text behind", S_INIT("-----BEGIN PUBLIC KEY-----\n"
				"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
				"DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
				"-----END PUBLIC KEY-----\n"
				"x\n") },
	{ "headers", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			    "Proc-Type: 4,ENCRYPTED\n"
			    "DEK-Info: AES-256-CBC,00000000000000000000000000000000\n"
			    "\n"
			    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
			    "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
			    "-----END PUBLIC KEY-----\n") },
	{ "no base64", S_INIT("-----BEGIN PUBLIC KEY-----\n"
			      "MF!wEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
			      "DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
			      "-----END PUBLIC KEY-----\n") },
	{ "empty", S_INIT("") },
	{ "only a beginning", S_INIT("-----BEGIN PUBLIC KEY-----\n") },
	{ "ends differ", S_INIT("-----BEGIN PUBLIC KEY-----\n"
				"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Ck6AbL9mOVv1pag0mVLhAbN5c7K\n"
				"DvvaD6XqYacxVARN67c6Yy7WT+zcx1N7RXTpqkfegKGJj0woGYrwPnbvww==\n"
				"-----END PRIVATE KEY-----\n") },
};

TEST(sign_bad_pem)
{
	struct sign_key *key = NULL;

	for (size_t i = 0; i < LEN(bad_pems); i++)
		test_note(sign_key_from_pem(bad_pems[i].pem, &key) == -ERR_INVALID && !key,
			__FILE__, __LINE__, "%s", bad_pems[i].name);
}

TEST(sign_good_pem)
{
	static const struct str pems[] = {
		S_INIT(EC_PRIVATE),
		S_INIT(EC_PUBLIC),
		S_INIT("\r\n \t" EC_PUBLIC "\n\n"),
		/* without its public half, and with the curve written out */
		S_INIT("-----BEGIN PRIVATE KEY-----\n"
		       "MEECAQAwEwYHKoZIzj0CAQYIKoZIzj0DAQcEJzAlAgEBBCAZHzkB2NdK2kpcvjSt\n"
		       "udH3Tgh6aZ4c6TpA5axGCtDthg==\n"
		       "-----END PRIVATE KEY-----\n"),
		S_INIT("-----BEGIN PUBLIC KEY-----\n"
		       "MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAA\n"
		       "AAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA////\n"
		       "///////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd\n"
		       "NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5\n"
		       "RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA\n"
		       "//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABO3RbYxwDbuSZpWvFMJzROxL\n"
		       "LJLv8B1i38EmO9rvwQPBVnVkIAnJ5OmCwxzOOf5d5ISVdfRTgaTJYwNGbHKZgFs=\n"
		       "-----END PUBLIC KEY-----\n"),
	};

	for (size_t i = 0; i < LEN(pems); i++) {
		struct sign_key *key = from_pem(pems[i]);

		EXPECT_INT(sign_key_kind(key), SIGN_ES256);
		sign_key_unref(key);
	}
}

/* A PEM text with a byte changed is refused or a key that works; nothing in between. */
TEST(sign_changed_pem)
{
	char text[sizeof(EC_PRIVATE) - 1];

	for (size_t i = 0; i < sizeof(text); i++) {
		struct sign_key *key = NULL;

		memcpy(text, EC_PRIVATE, sizeof(text));
		text[i] ^= 1;
		if (sign_key_from_pem(str_of(text, sizeof(text)), &key) == 0)
			expect_signs_for(key, key);
		sign_key_unref(key);
	}
	for (size_t len = 0; len < sizeof(text) - 1; len++) { /* all but the last line's end */
		struct sign_key *key = NULL;

		EXPECT_INT(sign_key_from_pem(str_of(EC_PRIVATE, len), &key), -ERR_INVALID);
	}
}

TEST(sign_pem_too_long)
{
	static char text[SIGN_PEM_MAX + 1];
	struct sign_key *key = NULL;

	memset(text, ' ', sizeof(text));
	memcpy(text, EC_PUBLIC, sizeof(EC_PUBLIC) - 1);
	EXPECT_INT(sign_key_from_pem(str_of(text, sizeof(text)), &key), -ERR_INVALID);
	key = from_pem(str_of(text, SIGN_PEM_MAX));
	sign_key_unref(key);
}

TEST(sign_bad_jwk)
{
	static const struct {
		const char *name;
		struct str kty, crv, n, e, x, y;
	} cases[] = {
#define X_COORDINATE S_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
#define Y_COORDINATE S_INIT("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
		{ .name = "empty" },
		{ "oct", S_INIT("oct"), .x = X_COORDINATE },
		{ "kty in another case", S_INIT("ec"), S_INIT("P-256"), .x = X_COORDINATE,
			.y = Y_COORDINATE },
		{ "another curve", S_INIT("EC"), S_INIT("P-384"), .x = X_COORDINATE,
			.y = Y_COORDINATE },
		{ "no curve", S_INIT("EC"), .x = X_COORDINATE, .y = Y_COORDINATE },
		{ "curve of the other type", S_INIT("EC"), S_INIT("Ed25519"), .x = X_COORDINATE,
			.y = Y_COORDINATE },
		{ "no y", S_INIT("EC"), S_INIT("P-256"), .x = X_COORDINATE },
		{ "not on the curve", S_INIT("EC"), S_INIT("P-256"), .x = X_COORDINATE,
			.y = X_COORDINATE },
		{ "coordinate beyond the field", S_INIT("EC"), S_INIT("P-256"),
			.x = S_INIT("__________________________________________8"),
			.y = Y_COORDINATE },
		{ "the point at zero", S_INIT("EC"), S_INIT("P-256"),
			.x = S_INIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
			.y = S_INIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") },
		{ "coordinate too short", S_INIT("EC"), S_INIT("P-256"), .x = S_INIT("f83O"),
			.y = Y_COORDINATE },
		{ "coordinate with padding", S_INIT("EC"), S_INIT("P-256"),
			.x = S_INIT("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="),
			.y = Y_COORDINATE },
		{ "X25519", S_INIT("OKP"), S_INIT("X25519"), .x = X_COORDINATE },
		{ "Ed25519 too short", S_INIT("OKP"), S_INIT("Ed25519"), .x = S_INIT("f83O") },
		{ "no n", S_INIT("RSA"), .e = S_INIT("AQAB") },
		{ "small n", S_INIT("RSA"), .n = S_INIT("ofgW"), .e = S_INIT("AQAB") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct sign_jwk jwk = { cases[i].kty, cases[i].crv, cases[i].n, cases[i].e,
			cases[i].x, cases[i].y };
		struct sign_key *key = NULL;

		test_note(sign_key_from_jwk(&jwk, &key) == -ERR_INVALID && !key, __FILE__, __LINE__,
			"%s", cases[i].name);
	}
}

TEST(sign_bad_rsa_numbers)
{
	static const struct {
		size_t len; /* of the modulus, bytes */
		uint8_t first, last;
		struct str e;
		bool ok;
	} cases[] = {
		{ 256, 0x80, 0x01, S_INIT("AQAB"), true },
		{ 256, 0x80, 0x01, S_INIT("Aw"), true },
		{ 1024, 0xff, 0x01, S_INIT("AQAB"), true },
		{ 256, 0x7f, 0x01, S_INIT("AQAB"), false },   /* 2047 bits */
		{ 257, 0x00, 0x01, S_INIT("AQAB"), false },   /* a leading zero byte */
		{ 256, 0x80, 0x02, S_INIT("AQAB"), false },   /* even */
		{ 1025, 0x01, 0x01, S_INIT("AQAB"), false },  /* 8193 bits */
		{ 256, 0x80, 0x01, S_INIT("AQ"), false },     /* e = 1 */
		{ 256, 0x80, 0x01, S_INIT("Ag"), false },     /* e = 2 */
		{ 256, 0x80, 0x01, S_INIT("AAEAAQ"), false }, /* a leading zero byte */
		{ 256, 0x80, 0x01, S_INIT("AQAAAAE"), false },
		{ 256, 0x80, 0x01, S_INIT(""), false },
		{ 256, 0x80, 0x01, S_INIT("AQAB="), false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char modulus[1025] = { 0 }, text[BASE64_SIZE(1025)];
		struct sign_jwk jwk = { .kty = S("RSA"), .e = cases[i].e };
		struct sign_key *key = NULL;

		modulus[0] = (char)cases[i].first;
		modulus[cases[i].len - 1] = (char)cases[i].last;
		jwk.n = str_of(text, base64_write(BASE64_URL, text, str_of(modulus, cases[i].len)));
		test_note((sign_key_from_jwk(&jwk, &key) == 0) == cases[i].ok, __FILE__, __LINE__,
			"case %zu", i);
		sign_key_unref(key);
	}
}

TEST(sign_generate_refuses)
{
	struct sign_key *key = NULL;

	EXPECT_INT(sign_key_generate(SIGN_RS256, 1024, &key), -ERR_INVALID);
	EXPECT_INT(sign_key_generate(SIGN_RS256, 2049, &key), -ERR_INVALID);
	EXPECT_INT(sign_key_generate(SIGN_RS256, 16384, &key), -ERR_INVALID);
	EXPECT_INT(sign_key_generate(SIGN_ES256, 256, &key), -ERR_INVALID);
	EXPECT(!key);
}

/* --- DER -------------------------------------------------------------------- */

TEST(sign_der_round_trip)
{
	uint64_t seed = 3;

	for (int i = 0; i < 10000; i++) {
		uint8_t raw[SIGN_RAW_LEN] = { 0 }, back[SIGN_RAW_LEN], der[SIGN_DER_MAX];
		size_t zeros = test_random(&seed) % 33;
		size_t len;

		for (size_t at = zeros; at < 64; at += at == 31 ? 1 + zeros : 1)
			raw[at] = (uint8_t)test_random(&seed);
		len = sign_der_from_raw(raw, der);
		REQUIRE(sign_raw_from_der(str_of((char *)der, len), back));
		REQUIRE(memcmp(raw, back, sizeof(raw)) == 0);
		REQUIRE(!sign_raw_from_der(str_of((char *)der, len - 1), back));
	}
}

TEST(sign_der_is_strict)
{
	static const struct {
		struct str der;
		bool ok;
	} cases[] = {
		{ S_INIT("3006020101020102"), true }, { S_INIT("300702020080020102"), true },
		{ S_INIT("3006020100020100"), true }, /* zeros are no matter of the encoding */
		{ S_INIT(""), false }, { S_INIT("30"), false }, { S_INIT("3000"), false },
		{ S_INIT("300602010102010200"), false },     /* a byte behind */
		{ S_INIT("300702010102010200"), false },     /* a byte behind, counted in */
		{ S_INIT("3005020101020102"), false },       /* length too small */
		{ S_INIT("3007020101020102"), false },       /* length too large */
		{ S_INIT("308106020101020102"), false },     /* length in the long form */
		{ S_INIT("3106020101020102"), false },       /* not a sequence */
		{ S_INIT("3006030101020102"), false },       /* not an integer */
		{ S_INIT("3006020181020102"), false },       /* negative */
		{ S_INIT("300702020001020102"), false },     /* superfluous zero byte */
		{ S_INIT("30050200020102"), false },         /* empty integer */
		{ S_INIT("3006020501020102"), false },       /* integer beyond the end */
		{ S_INIT("3003020101"), false },             /* only one */
		{ S_INIT("3009020101020102020103"), false }, /* three */
		{ S_INIT("3026022101000000000000000000000000000000000000000000000000000000"
			 "0000000000020101"),
			false }, /* 33 bytes */
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct hex der = unhex(cases[i].der);
		uint8_t raw[SIGN_RAW_LEN];

		test_note(sign_raw_from_der(HEX_STR(der), raw) == cases[i].ok, __FILE__, __LINE__,
			"%.*s", STR_ARG(cases[i].der));
	}
}

/* --- threads and memory ------------------------------------------------------ */

struct shared {
	struct sign_key *keys[SIGN_KINDS];
	uint8_t signatures[SIGN_KINDS][SIGN_SIGNATURE_MAX];
};

static void *verify_much(void *arg)
{
	struct shared *shared = arg;

	for (int i = 0; i < 200; i++)
		for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
			struct sign_key *key = sign_key_ref(shared->keys[kind]);
			struct str signature =
				str_of((char *)shared->signatures[kind], sign_len(key));
			uint8_t made[SIGN_SIGNATURE_MAX];

			EXPECT_INT(sign_verify(key, S("m"), signature), 0);
			EXPECT_INT(sign_verify(key, S("n"), signature), -ERR_UNAUTHORIZED);
			if (i % 20 == 0)
				EXPECT(sign_make(key, S("m"), made, sizeof(made)) > 0);
			sign_key_unref(key);
		}
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++)
		sign_key_unref(shared->keys[kind]);
	return NULL;
}

/* Two threads use the same keys; whichever ends last frees them. */
TEST(sign_in_threads)
{
	struct shared shared;
	pthread_t other;

	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		shared.keys[kind] = generate(kind);
		REQUIRE(sign_make(shared.keys[kind], S("m"), shared.signatures[kind],
				SIGN_SIGNATURE_MAX) > 0);
		(void)sign_key_ref(shared.keys[kind]);
	}
	REQUIRE(pthread_create(&other, NULL, verify_much, &shared) == 0);
	(void)verify_much(&shared);
	REQUIRE(pthread_join(other, NULL) == 0);
	EXPECT_INT(mem_used(), 0);
}

#ifdef BULKHEAD_FAULTS
TEST(sign_without_memory)
{
	struct sign_key *key = NULL, *good;
	struct buf text;
	size_t nth;

	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(sign_key_from_jwk(&rfc7515_ec, &key), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(sign_key_from_pem(S(EC_PRIVATE), &key), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(sign_key_generate(SIGN_ES256, 0, &key), -ERR_NO_MEMORY);
	EXPECT(!key && mem_used() == 0);

	good = from_pem(S(EC_PRIVATE));
	for (nth = 1; nth < 10; nth++) {
		buf_init(&text, SIGN_PEM_MAX);
		fault_arm(FAULT_MEMORY, nth);
		if (sign_key_write_private(good, &text) == 0)
			break;
		EXPECT_INT(text.failed, -ERR_NO_MEMORY);
		buf_done(&text);
	}
	EXPECT(nth == 2);
	fault_arm(FAULT_MEMORY, 0);
	EXPECT_STR(buf_str(&text), S(EC_PRIVATE));
	buf_done(&text);
	sign_key_unref(good);
	EXPECT_INT(mem_used(), 0);
}
#endif
