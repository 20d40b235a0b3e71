/* What must hold for a request or a result beyond its types. Tables of fields to be checked; never changes a
 * message. */
#include "proto/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int __attribute__((format(printf, 3, 4)))
refuse(struct kiln_message_error *err, const char *where, const char *fmt, ...)
{
        va_list ap;
        size_t n;

        if (!err)
                return -EINVAL;
        n = (size_t)snprintf(err->text, sizeof(err->text), "%s: ", where);
        va_start(ap, fmt);
        vsnprintf(err->text + n, sizeof(err->text) - n, fmt, ap);
        va_end(ap);
        return -EINVAL;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum form {
        DIGEST, /* 64 lower-case hexadecimal digits */
        DIGEST_OR_EMPTY,
        HEX_OR_EMPTY, /* a fingerprint */
        TOKEN,        /* letters, digits, "-", "_"; 1..64 */
        FILE_NAME,    /* one path component, no leading "." or "-" */
        MACRO_NAME,   /* a letter or "_", then also digits; "(…)" may follow */
        NAME,         /* letters, digits, "._+-"; 1..128 */
        NAME_OR_EMPTY,
        URL, /* http: or https:, printable, no blank */
};

static bool only(const char *s, const char *set, size_t min, size_t max)
{
        size_t n = strlen(s);

        return n >= min && n <= max && strspn(s, set) == n;
}

static bool macro_name_ok(const char *s)
{
        size_t n = strspn(s, LETTERS DIGITS "_");

        if (n < 1 || n > 128 || strchr(DIGITS, s[0]))
                return false;
        return s[n] == '\0' || (s[n] == '(' && strspn(s + n + 1, LETTERS DIGITS ":-") == strlen(s + n) - 2 &&
                                       s[strlen(s) - 1] == ')');
}

static bool url_ok(const char *s)
{
        if (strncmp(s, "https://", 8) != 0 && strncmp(s, "http://", 7) != 0)
                return false;
        if (strlen(s) > 2048 || strlen(s) < 10)
                return false;
        for (; *s; s++)
                if (*s <= 0x20 || *s >= 0x7f)
                        return false;
        return true;
}

static bool form_ok(enum form form, const char *s)
{
        switch (form) {
        case DIGEST_OR_EMPTY:
                return !*s || form_ok(DIGEST, s);
        case DIGEST:
                return only(s, DIGITS "abcdef", 64, 64);
        case HEX_OR_EMPTY:
                return only(s, DIGITS "abcdef", 0, 128);
        case TOKEN:
                return only(s, LETTERS DIGITS "-_", 1, 64);
        case FILE_NAME:
                return only(s, LETTERS DIGITS "._+-~^", 1, 255) && s[0] != '.' && s[0] != '-';
        case MACRO_NAME:
                return macro_name_ok(s);
        case NAME_OR_EMPTY:
                return !*s || form_ok(NAME, s);
        case NAME:
                return only(s, LETTERS DIGITS "._+-", 1, 128) && s[0] != '-';
        case URL:
                return url_ok(s);
        }
        return false;
}

static const char *form_text(enum form form)
{
        static const char *const texts[] = {
                [DIGEST] = "64 lower-case hexadecimal digits",
                [DIGEST_OR_EMPTY] = "empty or 64 lower-case hexadecimal digits",
                [HEX_OR_EMPTY] = "empty or lower-case hexadecimal digits",
                [TOKEN] = "1 to 64 letters, digits, \"-\" and \"_\"",
                [FILE_NAME] = "a plain file name",
                [MACRO_NAME] = "a macro's name",
                [NAME] = "a plain name",
                [NAME_OR_EMPTY] = "empty or a plain name",
                [URL] = "an http or https URL",
        };

        return texts[form];
}

struct field {
        const char *where, *value;
        enum form form;
};

static int fields_check(const struct field *fields, size_t n, struct kiln_message_error *err)
{
        for (size_t i = 0; i < n; i++)
                if (!form_ok(fields[i].form, fields[i].value))
                        return refuse(err, fields[i].where, "it must be %s", form_text(fields[i].form));
        return 0;
}

/* Values that must not be their type's zero. */
struct given {
        const char *where;
        int value;
};

static int given_check(const struct given *given, size_t n, struct kiln_message_error *err)
{
        for (size_t i = 0; i < n; i++)
                if (given[i].value == 0)
                        return refuse(err, given[i].where, "it must be given");
        return 0;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Sorted, each once: two orders of a set must not make two requests. */
static int set_check(char **v, size_t n, const char *where, struct kiln_message_error *err)
{
        for (size_t i = 0; i < n; i++) {
                if (!form_ok(NAME, v[i]))
                        return refuse(err, where, "\"%.60s\" must be %s", v[i], form_text(NAME));
                if (i > 0 && strcmp(v[i - 1], v[i]) >= 0)
                        return refuse(err, where, "it must be sorted, each name once (\"%.60s\")", v[i]);
        }
        return 0;
}

static int source_check(const Kiln__V1__Source *s, struct kiln_message_error *err)
{
        const struct field fields[] = {
                {"build.source.sha256", s->sha256, DIGEST},
                {"build.source.name", s->name, FILE_NAME},
        };
        const struct given given[] = {{"build.source.signature_policy", s->signature_policy}};
        int r = fields_check(fields, COUNT(fields), err);

        if (r == 0)
                r = given_check(given, COUNT(given), err);
        for (size_t i = 0; r == 0 && i < s->n_urls; i++)
                r = fields_check(&(struct field){"build.source.urls", s->urls[i], URL}, 1, err);
        return r;
}

static int overlays_check(const Kiln__V1__Build *b, struct kiln_message_error *err)
{
        for (size_t i = 0; i < b->n_overlays; i++) {
                const Kiln__V1__Overlay *o = b->overlays[i];
                const struct field fields[] = {
                        {"build.overlays.name", o->name, FILE_NAME},
                        {"build.overlays.sha256", o->sha256, DIGEST},
                };
                int r = fields_check(fields, COUNT(fields), err);

                if (r < 0)
                        return r;
                if (o->content_case == KILN__V1__OVERLAY__CONTENT_URL && !form_ok(URL, o->url))
                        return refuse(err, "build.overlays.url", "it must be %s", form_text(URL));
                if (o->content_case == KILN__V1__OVERLAY__CONTENT__NOT_SET)
                        return refuse(err, "build.overlays", "%s has neither data nor url", o->name);
        }
        return 0;
}

static int options_check(const Kiln__V1__Build *b, struct kiln_message_error *err)
{
        int r;

        for (size_t i = 0; i < b->n_macros; i++)
                if (!form_ok(MACRO_NAME, b->macros[i]->name))
                        return refuse(err, "build.macros.name", "\"%.60s\" must be %s", b->macros[i]->name,
                                form_text(MACRO_NAME));
        r = set_check(b->bcond_with, b->n_bcond_with, "build.bcond_with", err);
        if (r == 0)
                r = set_check(b->bcond_without, b->n_bcond_without, "build.bcond_without", err);
        for (size_t i = 0; r == 0 && i < b->n_bcond_with; i++)
                for (size_t k = 0; k < b->n_bcond_without; k++)
                        if (strcmp(b->bcond_with[i], b->bcond_without[k]) == 0)
                                return refuse(err, "build.bcond_with", "\"%.60s\" is in bcond_without too",
                                        b->bcond_with[i]);
        return r;
}

static int build_check(const Kiln__V1__Build *b, struct kiln_message_error *err)
{
        const struct given given[] = {
                {"build.source", b->source != NULL},
                {"build.toolchain", b->toolchain != NULL},
                {"build.epoch", b->epoch != NULL},
                {"build.epoch.policy", b->epoch ? (int)b->epoch->policy : 0},
                {"build.isa", b->isa},
                {"build.network", b->network},
                {"build.profile", b->profile},
        };
        int r = given_check(given, COUNT(given), err);

        if (r < 0)
                return r;
        const struct field fields[] = {
                {"build.toolchain.name", b->toolchain->name, NAME},
                {"build.toolchain.digest", b->toolchain->digest, DIGEST},
                {"build.arch", b->arch, NAME},
                {"build.arch_tag", b->arch_tag, NAME_OR_EMPTY},
                {"build.dist", *b->dist == '.' ? b->dist + 1 : b->dist, NAME_OR_EMPTY},
        };
        r = fields_check(fields, COUNT(fields), err);
        if (r == 0)
                r = source_check(b->source, err);
        if (r == 0)
                r = overlays_check(b, err);
        if (r == 0)
                r = options_check(b, err);
        if (r < 0)
                return r;
        if (b->epoch->fixed_s < 0 ||
                (b->epoch->policy != KILN__V1__EPOCH__POLICY__FIXED && b->epoch->fixed_s != 0))
                return refuse(err, "build.epoch.fixed_s", "it is seconds since 1970, and only for FIXED");
        if (b->pinned_case == KILN__V1__BUILD__PINNED_LOCK_DIGEST && !form_ok(DIGEST, b->lock_digest))
                return refuse(err, "build.lock_digest", "it must be %s", form_text(DIGEST));
        if (b->cpus > 4096)
                return refuse(err, "build.cpus", "at most 4096");
        if (b->skip_check && b->profile == KILN__V1__BUILD__SANDBOX_PROFILE__CHECK)
                return refuse(err, "build.profile", "CHECK is for builds that run %%check");
        return 0;
}

int kiln_request_check(const Kiln__V1__BuildRequest *request, struct kiln_message_error *err)
{
        const struct given given[] = {
                {"build", request->build != NULL},
                {"lane", request->lane},
                {"destination", request->destination && request->destination->to_case != 0},
                {"signing", request->signing != NULL},
                {"signing.mode", request->signing ? (int)request->signing->mode : 0},
        };
        int r = given_check(given, COUNT(given), err);

        if (r < 0)
                return r;
        const Kiln__V1__Destination *d = request->destination;
        const Kiln__V1__Signing *s = request->signing;
        const struct field fields[] = {
                {"owner", request->owner, TOKEN},
                {"signing.rpm_key", s->rpm_key, HEX_OR_EMPTY},
                {"signing.attestation_key", s->attestation_key, DIGEST_OR_EMPTY},
        };
        r = fields_check(fields, COUNT(fields), err);
        if (r == 0)
                r = set_check(request->unvaried, request->n_unvaried, "unvaried", err);
        if (r == 0)
                r = set_check(request->varied, request->n_varied, "varied", err);
        if (r < 0)
                return r;
        if (d->to_case == KILN__V1__DESTINATION__TO_DIRECTORY ? d->directory[0] != '/' : d->oci[0] == '\0')
                return refuse(
                        err, "destination", "it must be an absolute directory or a registry's repository");
        if ((s->mode == KILN__V1__SIGNING__MODE__SERVED) != (s->socket[0] == '/'))
                return refuse(err, "signing.socket", "an absolute path with SERVED, and only then");
        if (request->time_stamping && s->mode == KILN__V1__SIGNING__MODE__UNSIGNED)
                return refuse(err, "time_stamping", "without signatures there is nothing to stamp");
        return build_check(request->build, err);
}

int kiln_result_check(const Kiln__V1__BuildResult *result, struct kiln_message_error *err)
{
        bool ok = result->verdict == KILN__V1__VERDICT__OK;
        const struct field fields[] = {
                /* A source that could not be read was never asked for by a request. */
                {"build_digest", result->build_digest, ok ? DIGEST : DIGEST_OR_EMPTY},
                {"outputs_digest", result->outputs_digest, DIGEST_OR_EMPTY},
                {"lock_digest", result->lock_digest, DIGEST_OR_EMPTY},
        };
        int r = fields_check(fields, COUNT(fields), err);
        char hex[65];

        for (size_t i = 0; r == 0 && i < result->n_artefacts; i++) {
                const Kiln__V1__Artefact *a = result->artefacts[i];
                const struct field own[] = {
                        {"artefacts.name", a->name, FILE_NAME},
                        {"artefacts.sha256", a->sha256, DIGEST},
                        {"artefacts.header_sha256", a->header_sha256, DIGEST_OR_EMPTY},
                        {"artefacts.payload_sha256", a->payload_sha256, DIGEST_OR_EMPTY},
                        {"artefacts.unsigned_sha256", a->unsigned_sha256, DIGEST_OR_EMPTY},
                        {"artefacts.signer", a->signer, HEX_OR_EMPTY},
                };

                r = given_check(&(struct given){"artefacts.kind", a->kind}, 1, err);
                if (r == 0)
                        r = fields_check(own, COUNT(own), err);
                if (r == 0 && i > 0 && strcmp(result->artefacts[i - 1]->name, a->name) >= 0)
                        r = refuse(err, "artefacts", "they must be sorted by name, each once");
        }
        if (r < 0)
                return r;
        if (ok != (result->error == NULL))
                return refuse(err, "error", "it must stand there unless the verdict is OK");
        if (!ok)
                return 0;
        r = kiln_outputs_digest(result, hex, err);
        if (r == 0 && strcmp(hex, result->outputs_digest) != 0)
                return refuse(err, "outputs_digest", "the artefacts give %s", hex);
        return r;
}
