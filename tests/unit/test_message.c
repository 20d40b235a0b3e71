/* proto/: what is unknown is refused at any depth, canonical bytes are canonical, JSON goes both ways. */
#include "proto/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "3333333333333333333333333333333333333333333333333333333333333333"

#define BUILD                                                                                                \
        "\"build\":{\"source\":{\"urls\":[\"https://example.org/a.src.rpm\"],\"sha256\":\"" D1               \
        "\",\"name\":\"a-1-1.src.rpm\",\"signaturePolicy\":\"ANY\"},"                                        \
        "\"toolchain\":{\"name\":\"bootstrap\",\"digest\":\"" D2 "\"},"                                      \
        "\"overlays\":[{\"name\":\"a.overlay.toml\",\"sha256\":\"" D3 "\",\"data\":\"aGk=\"}],"              \
        "\"macros\":[{\"name\":\"foo\",\"body\":\"b\\u00e4r\"}],"                                            \
        "\"bcondWith\":[\"tests\"],\"isa\":\"X86_64_V3\",\"arch\":\"x86_64\","                               \
        "\"epoch\":{\"policy\":\"FIXED\",\"fixedS\":\"1700000000\"},"                                        \
        "\"network\":\"NO_NETWORK\",\"profile\":\"CHECK\",\"limits\":{\"fileBytes\":"                        \
        "\"18446744073709551615\"},"                                                                         \
        "\"nestedMounts\":true}"

static const char request_json[] =
        "{" BUILD ",\"owner\":\"me\",\"lane\":\"CVE\",\"destination\":{\"directory\":\"/out\"},"
        "\"signing\":{\"mode\":\"LOCAL\"},\"limits\":{\"wallS\":\"3600\",\"hard\":true},\"attemptsMax\":3}";

/* The same, as protoc --encode=kiln.v1.Build writes it (libprotoc 3.21): an outside witness of canonical
 * bytes. */
static const char build_text[] =
        "source { urls: 'https://example.org/a.src.rpm' sha256: '" D1
        "' name: 'a-1-1.src.rpm' signature_policy: ANY } "
        "toolchain { name: 'bootstrap' digest: '" D2 "' } "
        "overlays { name: 'a.overlay.toml' sha256: '" D3
        "' data: 'hi' } macros { name: 'foo' body: 'b\\303\\244r' } "
        "bcond_with: 'tests' isa: X86_64_V3 arch: 'x86_64' epoch { policy: FIXED fixed_s: 1700000000 } "
        "network: NO_NETWORK profile: CHECK limits { file_bytes: 18446744073709551615 } nested_mounts: true";
static const char build_golden[] = "0f8e05edbe8868eb578ddcb6f1a3117322e4811a54b30780576df194930f740b";

static Kiln__V1__BuildRequest *request_read(const char *json)
{
        struct kiln_message_error err = {""};
        Kiln__V1__BuildRequest *r = NULL;

        if (kiln_request_from_json(json, strlen(json), &r, &err) < 0)
                fail_msg("%s", err.text);
        return r;
}

static void test_golden(void **state)
{
        Kiln__V1__BuildRequest *r = request_read(request_json);
        struct kiln_message_error err = {""};
        char hex[65];

        assert_int_equal(kiln_request_check(r, &err), 0);
        assert_int_equal(kiln_build_digest(r->build, hex, &err), 0);
        assert_string_equal(hex, build_golden);
        kiln_request_free(r);
}

static void test_protoc(void **state)
{
        const char *root = getenv("MESON_SOURCE_ROOT");
        char command[4096], line[128] = "";
        FILE *p;

        if (!root || system("command -v protoc >/dev/null") != 0) {
                print_message("no protoc here: skipped, the golden value came from one\n");
                skip();
        }
        snprintf(command, sizeof(command),
                "cat <<'END' | protoc -I %s/proto --encode=kiln.v1.Build kiln/v1/request.proto | "
                "sha256sum\n%s\nEND\n",
                root, build_text);
        p = popen(command, "r");
        assert_non_null(fgets(line, sizeof(line), p));
        assert_int_equal(pclose(p), 0);
        line[64] = '\0';
        assert_string_equal(line, build_golden);
}

/* A request written by Google's own implementation, through contrib/coordinator, is understood and named
 * alike; JSON of ours is read by it and comes back the same. */
static void test_python(void **state)
{
        static const char script[] =
                "set -eu; cd \"$DIR\"; R=\"$MESON_SOURCE_ROOT/contrib/coordinator/request.py\"; echo srpm "
                ">a-1-1.src.rpm; "
                "printf '[[overlays]]' >x.toml; /usr/bin/python3 \"$R\" make --srpm a-1-1.src.rpm --url "
                "https://example.org/a "
                "--toolchain bootstrap --digest " D1
                " --overlay x.toml --directory /out -o request.pb >digest; "
                "/usr/bin/python3 \"$R\" show request.pb >shown.json";
        char dir[] = "/tmp/kiln-test-XXXXXX", path[128], hex[65], told[128] = "", *ours = NULL, *again = NULL;
        static char data[65536];
        struct kiln_message_error err = {""};
        Kiln__V1__BuildRequest *r = NULL, *shown = NULL;
        size_t len;
        FILE *f;

        if (!getenv("MESON_SOURCE_ROOT") || system("/usr/bin/python3 -c 'import google.protobuf' 2>/dev/null "
                                                   "&& command -v protoc >/dev/null") != 0) {
                print_message("no Python with protobuf here: skipped, the golden value came from protoc\n");
                skip();
        }
        assert_non_null(mkdtemp(dir));
        assert_int_equal(setenv("DIR", dir, 1), 0);
        assert_int_equal(system(script), 0);

        snprintf(path, sizeof(path), "%s/request.pb", dir);
        assert_non_null(f = fopen(path, "re"));
        len = fread(data, 1, sizeof(data), f);
        fclose(f);
        if (kiln_request_unpack(data, len, &r, &err) < 0 || kiln_request_check(r, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(kiln_build_digest(r->build, hex, &err), 0);
        snprintf(path, sizeof(path), "%s/digest", dir);
        assert_non_null(f = fopen(path, "re"));
        assert_non_null(fgets(told, sizeof(told), f));
        fclose(f);
        told[strcspn(told, "\n")] = '\0';
        assert_string_equal(hex, told);

        snprintf(path, sizeof(path), "%s/shown.json", dir);
        assert_non_null(f = fopen(path, "re"));
        len = fread(data, 1, sizeof(data), f);
        fclose(f);
        if (kiln_request_from_json(data, len, &shown, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(kiln_message_to_json(&r->base, false, &ours, &err), 0);
        assert_int_equal(kiln_message_to_json(&shown->base, false, &again, &err), 0);
        assert_string_equal(ours, again);
        assert_int_equal(system("rm -r \"$DIR\""), 0);
        kiln_request_free(r);
        kiln_request_free(shown);
        free(ours);
        free(again);
}

/* What does not determine the build does not change its digest; what does, does. */
static void test_build_digest(void **state)
{
        Kiln__V1__BuildRequest *r = request_read(request_json);
        char a[65], b[65];

        assert_int_equal(kiln_build_digest(r->build, a, NULL), 0);
        r->lane = KILN__V1__BUILD_REQUEST__LANE__BATCH;
        r->limits->wall_s = 1;
        assert_int_equal(kiln_build_digest(r->build, b, NULL), 0);
        assert_string_equal(a, b);
        r->build->skip_check = 1;
        assert_int_equal(kiln_build_digest(r->build, b, NULL), 0);
        assert_string_not_equal(a, b);
        kiln_request_free(r);
}

static void test_roundtrip(void **state)
{
        Kiln__V1__BuildRequest *r = request_read(request_json), *again = NULL;
        struct kiln_message_error err = {""};
        unsigned char *data, *data2;
        size_t len, len2;
        char *json, *json2;

        assert_int_equal(kiln_message_pack(&r->base, &data, &len, &err), 0);
        assert_int_equal(kiln_request_unpack(data, len, &again, &err), 0);
        assert_int_equal(kiln_message_pack(&again->base, &data2, &len2, &err), 0);
        assert_int_equal(len, len2);
        assert_memory_equal(data, data2, len);
        assert_int_equal(kiln_message_to_json(&again->base, true, &json, &err), 0);
        kiln_request_free(again);
        again = request_read(json);
        assert_int_equal(kiln_message_to_json(&again->base, true, &json2, &err), 0);
        assert_string_equal(json, json2);
        assert_non_null(strstr(json, "\"fileBytes\": \"18446744073709551615\""));
        assert_non_null(strstr(json, "\"data\": \"aGk=\""));
        assert_non_null(strstr(json, "\"isa\": \"X86_64_V3\""));
        assert_non_null(strstr(json, "\"skipCheck\": false")); /* defaults are written out */
        assert_null(strstr(json, "lockDigest"));               /* but no unset oneof */
        kiln_request_free(again);
        kiln_request_free(r);
        free(data);
        free(data2);
        free(json);
        free(json2);
}

/* Every truncation is refused or, at a field's border, another message; nothing crashes (sanitizers watch).
 */
static void test_truncated(void **state)
{
        Kiln__V1__BuildRequest *r = request_read(request_json);
        unsigned char *data;
        size_t len, refused = 0;

        assert_int_equal(kiln_message_pack(&r->base, &data, &len, NULL), 0);
        for (size_t i = 0; i < len; i++) {
                unsigned char *exact = malloc(i ? i : 1);
                Kiln__V1__BuildRequest *m = NULL;

                memcpy(exact, data, i);
                if (kiln_request_unpack(exact, i, &m, NULL) < 0)
                        refused++;
                else
                        kiln_request_free(m);
                free(exact);
        }
        assert_true(refused > len - 10);
        kiln_request_free(r);
        free(data);
}

#define BYTES(s) s, sizeof(s) - 1

static void test_wire_refused(void **state)
{
        static const struct {
                const char *data;
                size_t len;
                const char *says;
        } table[] = {
                {BYTES("\x78\x01"), "unknown field 15"},                     /* BuildRequest.15 */
                {BYTES("\x0a\x03\xf8\x06\x01"), "build: unknown field 111"}, /* Build.111 */
                {BYTES("\x0a\x04\x0a\x02\x78\x01"), "build.source: unknown field 15"},
                {BYTES("\x18\x09"), "lane: unknown value 9"}, /* LANE 9 */
                {BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "lane: unknown value -1"},
                {BYTES("\x18\x80\x80\x80\x80\x10"), "lane: unknown value 4294967296"},
                {BYTES("\x0a\x02\x38\x07"), "build.isa: unknown value 7"},
                {BYTES("\x0a\x04\x52\x02\x08\x03"), "build.epoch.policy: unknown value 3"},
                {BYTES("\x12\x01\x61\x12\x01\x62"), "owner: it stands there twice"},
                {BYTES("\x22\x06\x0a\x01/\x12\x01r"), "destination.oci: it stands there twice"},
                {BYTES("\x12\x01\xff"), "owner: it is not UTF-8"},
                {BYTES("\x12\x02\xc0\x80"), "owner: it is not UTF-8"},
                {BYTES("\x12\x03\xed\xa0\x80"), "owner: it is not UTF-8"},
                {BYTES("\x12\x03"
                       "a\0b"),
                        "owner: it is not UTF-8"},
                {BYTES("\x12\x05"
                       "ab"),
                        "owner: it is truncated"},
                {BYTES("\x10\x01"), "owner: it has the wrong wire type"},
                {BYTES("\x1a\x01\x01"), "lane: it has the wrong wire type"},
                {BYTES("\x1d\x01\x00\x00\x00"), "lane: it has the wrong wire type"},
                {BYTES("\x1b\x1c"), "lane: it has the wrong wire type"}, /* a group */
                {BYTES("\x38\x80\x80\x80\x80\x10"), "attempts_max: the number does not fit"},
                {BYTES("\x32\x02\x40\x02"), "limits.hard: it is neither true nor false"},
                {BYTES("\x32\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
                        "limits.wall_s: it is truncated"},
                {BYTES("\x00"), "it is no protobuf message"},
                {BYTES("\xff"), "it is no protobuf message"},
                {BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "build: it is truncated"},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct kiln_message_error err = {""};
                Kiln__V1__BuildRequest *m = NULL;

                if (kiln_request_unpack(table[i].data, table[i].len, &m, &err) == 0)
                        fail_msg("%zu: accepted, must say: %s", i, table[i].says);
                if (!strstr(err.text, table[i].says))
                        fail_msg("%zu: says \"%s\", must say \"%s\"", i, err.text, table[i].says);
        }
}

/* Another order of fields and defaults spelled out: same message, same digest. */
static void test_other_encodings(void **state)
{
        static const char *const forms[][2] = {
                {"\x38\x03\x58\x01", "\x58\x01\x38\x03"}, {"\x38\x03", "\x38\x03\x58"}};
        static const size_t lens[][2] = {{4, 4}, {2, 4}};

        for (size_t i = 0; i < 2; i++) {
                char hex[2][65];

                for (size_t k = 0; k < 2; k++) {
                        Kiln__V1__Build *b = NULL;

                        /* {"\x38\x03\x58\x00"}: the literal's own NUL is the default's value */
                        assert_int_equal(kiln_build_unpack(forms[i][k], lens[i][k], &b, NULL), 0);
                        assert_int_equal(kiln_build_digest(b, hex[k], NULL), 0);
                        kiln_build_free(b);
                }
                assert_string_equal(hex[0], hex[1]);
        }
}

static void test_limits(void **state)
{
        struct kiln_message_error err = {""};
        Kiln__V1__Build *b = NULL;
        size_t n = KILN_MESSAGE_FIELDS_MAX + 1;
        char *data = calloc(1, KILN_MESSAGE_MAX + 1);

        for (size_t i = 0; i < n; i++)
                data[2 * i] = 0x1a; /* an empty overlay */
        assert_int_equal(kiln_build_unpack(data, 2 * n, &b, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "more than"));
        assert_int_equal(kiln_build_unpack(data, KILN_MESSAGE_MAX + 1, &b, &err), -EFBIG);
        free(data);
}

static void test_json_refused(void **state)
{
        static const struct {
                const char *json, *says;
        } table[] = {
                {"{\"nonsense\":1}", "nonsense: unknown name"},
                {"{\"build\":{\"source\":{\"Sha256\":\"\"}}}", "build.source.Sha256: unknown name"},
                {"{\"lane\":\"FAST\"}", "lane: unknown value FAST"},
                {"{\"lane\":9}", "lane: unknown value"},
                {"{\"owner\":1}", "owner: it is no text"},
                {"{\"owner\":\"a\",\"owner\":\"b\"}", "duplicate"},
                {"{\"attemptsMax\":1,\"attempts_max\":1}", "stands there twice"},
                {"{\"attemptsMax\":-1}", "out of range"},
                {"{\"attemptsMax\":4294967296}", "out of range"},
                {"{\"attemptsMax\":1.5}", "no whole number"},
                {"{\"attemptsMax\":\"1x\"}", "no whole number"},
                {"{\"attemptsMax\":\" 1\"}", "no whole number"},
                {"{\"limits\":{\"wallS\":\"18446744073709551616\"}}", "limits.wallS"},
                {"{\"limits\":{\"hard\":1}}", "neither true nor false"},
                {"{\"build\":{\"macros\":{}}}", "no array"},
                {"{\"build\":{\"macros\":[1]}}", "build.macros[0]: it is no object"},
                {"{\"build\":{\"macros\":[null]}}", "build.macros[0]: it is no object"},
                {"{\"build\":{\"overlays\":[{\"data\":\"a\"}]}}", "not base64"},
                {"{\"build\":{\"overlays\":[{\"data\":\"=AAA\"}]}}", "not base64"},
                {"{\"build\":{\"overlays\":[{\"data\":\"\",\"url\":\"x\"}]}}", "oneof"},
                {"{\"owner\":\"a\\u0000b\"}", "line 1"},
                {"[]", "no object"},
                {"{} x", "line 1"},
                {"", "line 1"},
                {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested deeper"},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct kiln_message_error err = {""};
                Kiln__V1__BuildRequest *m = NULL;

                if (kiln_request_from_json(table[i].json, strlen(table[i].json), &m, &err) == 0)
                        fail_msg("accepted: %s", table[i].json);
                if (!strstr(err.text, table[i].says))
                        fail_msg("%s: says \"%s\", must say \"%s\"", table[i].json, err.text, table[i].says);
        }
}

/* lock.json as worker/buildroot/lock.c writes it is this mapping, byte for byte. */
static void test_lock_json(void **state)
{
        static const char text[] =
                "{\"arch\":\"x86_64\",\"full\":false,\"packages\":[{\"arch\":\"noarch\",\"epoch\":\"0\","
                "\"headerSha256\":\"" D2
                "\",\"layer\":\"BOOTSTRAP\",\"license\":\"MIT\",\"location\":\"a.rpm\","
                "\"name\":\"a\",\"nevra\":\"a-1-1.noarch\",\"release\":\"1\",\"repository\":\"r\","
                "\"sha256\":\"" D1 "\",\"signer\":\"\",\"sizeBytes\":\"7\",\"sourceRpm\":\"a-1-1.src.rpm\","
                "\"version\":\"1\"}],\"repositories\":[{\"baseUrl\":\"file:///"
                "r\",\"id\":\"r\",\"repomdSha256\":\"" D3 "\"}],\"toolchain\":\"t\",\"toolchainDigest\":\"" D1
                "\"}";
        struct kiln_message_error err = {""};
        Kiln__V1__Lock *l = NULL;
        char *again;

        if (kiln_lockmsg_from_json(text, strlen(text), &l, &err) < 0)
                fail_msg("%s", err.text);
        assert_int_equal(l->packages[0]->layer, KILN__V1__LOCKED_PACKAGE__LAYER__BOOTSTRAP);
        assert_int_equal(l->packages[0]->size_bytes, 7);
        assert_int_equal(kiln_message_to_json(&l->base, false, &again, &err), 0);
        assert_string_equal(again, text);
        free(again);
        kiln_lockmsg_free(l);
}

/* Changes one thing of the good request and expects a refusal that names it. */
static void test_request_check(void **state)
{
        static const struct {
                const char *from, *to, *says;
        } table[] = {
                {"\"isa\":\"X86_64_V3\",", "", "build.isa: it must be given"},
                {"\"lane\":\"CVE\",", "", "lane: it must be given"},
                {"\"network\":\"NO_NETWORK\",", "", "build.network"},
                {"\"policy\":\"FIXED\"", "\"policy\":\"POLICY_UNSPECIFIED\"", "build.epoch.policy"},
                {"\"policy\":\"FIXED\"", "\"policy\":\"CHANGELOG\"", "build.epoch.fixed_s"},
                {",\"signaturePolicy\":\"ANY\"", "", "build.source.signature_policy"},
                {"\"sha256\":\"1", "\"sha256\":\"A", "build.source.sha256"},
                {"\"digest\":\"2", "\"digest\":\"", "build.toolchain.digest"},
                {"a-1-1.src.rpm\",", "../a.src.rpm\",", "build.source.name"},
                {"https://example", "file:///example", "build.source.urls"},
                {"https://example", "https://ex ample", "build.source.urls"},
                {"\"a.overlay.toml\"", "\"a/b.toml\"", "build.overlays.name"},
                {",\"data\":\"aGk=\"", "", "neither data nor url"},
                {"\"name\":\"foo\"", "\"name\":\"%foo\"", "build.macros.name"},
                {"[\"tests\"]", "[\"tests\",\"docs\"]", "sorted"},
                {"[\"tests\"]", "[\"tests\"],\"bcondWithout\":[\"tests\"]", "bcond_without too"},
                {"\"tests\"", "\"a b\"", "build.bcond_with"},
                {"\"owner\":\"me\"", "\"owner\":\"me.too\"", "owner"},
                {"\"/out\"", "\"out\"", "destination"},
                {"\"mode\":\"LOCAL\"", "\"mode\":\"SERVED\"", "signing.socket"},
                {"\"nestedMounts\":true", "\"skipCheck\":true", "build.profile"},
                {"\"arch\":\"x86_64\"", "\"arch\":\"\"", "build.arch"},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                struct kiln_message_error err = {""};
                char json[sizeof(request_json) + 256];
                const char *at = strstr(request_json, table[i].from);
                Kiln__V1__BuildRequest *r;

                assert_non_null(at);
                snprintf(json, sizeof(json), "%.*s%s%s", (int)(at - request_json), request_json, table[i].to,
                        at + strlen(table[i].from));
                r = request_read(json);
                if (kiln_request_check(r, &err) == 0 || !strstr(err.text, table[i].says))
                        fail_msg("%s: says \"%s\"", table[i].says, err.text);
                kiln_request_free(r);
        }
}

#define ARTEFACTS                                                                                            \
        "\"artefacts\":[{\"name\":\"a.cdx.json\",\"kind\":\"CYCLONEDX\",\"sha256\":\"" D2 "\"},"             \
        "{\"name\":\"a.rpm\",\"kind\":\"RPM\",\"sha256\":\"%s\",\"headerSha256\":\"" D2                      \
        "\",\"payloadSha256\":\"" D1 "\"},{\"name\":\"b.src.rpm\",\"kind\":\"SRPM\",\"sha256\":\"" D1        \
        "\",\"headerSha256\":\"" D1 "\",\"payloadSha256\":\"" D3 "\"},"                                      \
        "{\"name\":\"build.log.zst\",\"kind\":\"BUILD_LOG\",\"sha256\":\"%s\"},"                             \
        "{\"name\":\"lock.json\",\"kind\":\"LOCK\",\"sha256\":\"" D3 "\"}]"

static void test_outputs_digest(void **state)
{
        /* printf 'lock 3…\nrpm 1… 3…\nrpm 2… 1…\nsbom 2…\n' | sha256sum, the digits written out */
        static const char expected[] = "be6a8ca91cea42addfc9b46bdf29eb19e62d634ddb5520f6c51e3e9b2168d0b1";
        static const char *const others[] = {D1, D3};

        for (size_t i = 0; i < 2; i++) {
                /* Signing and logs do not count. */
                struct kiln_message_error err = {""};
                Kiln__V1__BuildResult *r = NULL;
                char json[2048], hex[65];

                snprintf(json, sizeof(json),
                        "{\"verdict\":\"OK\",\"buildDigest\":\"" D1 "\",\"outputsDigest\":\"%s\"," ARTEFACTS
                        "}",
                        expected, others[i], others[i]);
                if (kiln_result_from_json(json, strlen(json), &r, &err) < 0)
                        fail_msg("%s", err.text);
                assert_int_equal(kiln_outputs_digest(r, hex, &err), 0);
                assert_string_equal(hex, expected);
                if (kiln_result_check(r, &err) < 0)
                        fail_msg("%s", err.text);
                r->artefacts[1]->header_sha256[0] = '9';
                assert_int_equal(kiln_result_check(r, &err), -EINVAL);
                r->artefacts[1]->header_sha256[0] = '\0';
                assert_int_equal(kiln_outputs_digest(r, hex, &err), -EINVAL);
                kiln_result_free(r);
        }
}

/* An empty message is no good result, whatever the zero verdict says. */
static void test_empty_result(void **state)
{
        struct kiln_message_error err = {""};
        Kiln__V1__BuildResult *r = NULL;

        assert_int_equal(kiln_result_unpack("", 0, &r, &err), 0);
        assert_int_equal(kiln_result_check(r, &err), -EINVAL);
        kiln_result_free(r);
}

/* A source that could not be read made no request to be named by. */
static void test_result_without_request(void **state)
{
        static const char json[] = "{\"verdict\":\"BAD_INPUT\",\"error\":{\"cause\":\"truncated\"}}";
        struct kiln_message_error err = {""};
        Kiln__V1__BuildResult *r = NULL;

        assert_int_equal(kiln_result_from_json(json, strlen(json), &r, &err), 0);
        assert_int_equal(kiln_result_check(r, &err), 0);
        r->verdict = KILN__V1__VERDICT__OK;
        assert_int_equal(kiln_result_check(r, &err), -EINVAL);
        kiln_result_free(r);
}

/* What C code sets by mistake is not written. */
static void test_pack_refused(void **state)
{
        Kiln__V1__BuildRequest r = KILN__V1__BUILD_REQUEST__INIT;
        struct kiln_message_error err = {""};
        char text[] = "\xff";
        unsigned char *data;
        size_t len;
        char *json;

        r.owner = text;
        assert_int_equal(kiln_message_pack(&r.base, &data, &len, &err), -EBADMSG);
        assert_int_equal(kiln_message_to_json(&r.base, false, &json, &err), -EBADMSG);
        r.owner = NULL;
        r.lane = (Kiln__V1__BuildRequest__Lane)77;
        assert_int_equal(kiln_message_pack(&r.base, &data, &len, &err), -EBADMSG);
        assert_int_equal(kiln_message_to_json(&r.base, false, &json, &err), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_protoc),
                cmocka_unit_test(test_python),
                cmocka_unit_test(test_build_digest),
                cmocka_unit_test(test_roundtrip),
                cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_wire_refused),
                cmocka_unit_test(test_other_encodings),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_json_refused),
                cmocka_unit_test(test_lock_json),
                cmocka_unit_test(test_request_check),
                cmocka_unit_test(test_outputs_digest),
                cmocka_unit_test(test_empty_result),
                cmocka_unit_test(test_result_without_request),
                cmocka_unit_test(test_pack_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
