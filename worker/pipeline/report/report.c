#include "worker/pipeline/report/report.h"

#include "worker/base/digest.h"
#include "worker/base/mem.h"
#include "worker/pipeline/report/html.h"
#include "worker/pipeline/report/part.h"
#include "worker/pipeline/report/style.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* What each verdict means to the reader; `look` picks the colour and the sign. */
static const struct verdict {
        const char *name, *look, *sign, *text;
} verdicts[] = {
        {"OK", "good", "\xe2\x9c\x93", "The package was built, checked and signed as requested."},
        {"BUILD_FAILED", "bad", "\xe2\x9c\x97", "The package itself does not build as requested."},
        {"BAD_INPUT", "bad", "\xe2\x9c\x97",
                "The request cannot be built: something in it is broken or missing."},
        {"INFRA", "warn", "!",
                "Not the package\xe2\x80\x99s fault: trying again, or elsewhere, may succeed."},
        {"LIMIT", "bad", "\xe2\x9c\x97", "The build exceeded a limit."},
        {"REFUSED", "warn", "!", "This host must not or cannot run this build; another one may."},
        {"NOT_REPRODUCED", "bad", "\xe2\x89\xa0", "The result differs from the one it was compared with."},
        {"CANCELLED", "warn", "!", "The build was cancelled."},
};
static const struct verdict unknown_verdict = {
        "?", "warn", "!", "The result has no verdict this page knows."};

static const struct verdict *verdict_find(const char *name)
{
        for (size_t i = 0; i < KILN_ARRAY_SIZE(verdicts); i++)
                if (strcmp(verdicts[i].name, name) == 0)
                        return &verdicts[i];
        return &unknown_verdict;
}

/* The policy lets nothing in but this page's one style sheet, by its digest. */
void kiln_report_head(const char *title, struct kiln_buf *out)
{
        struct kiln_digest d = kiln_digest_of(kiln_report_style, strlen(kiln_report_style));
        char base64[64];

        EVP_EncodeBlock((unsigned char *)base64, d.bytes, sizeof(d.bytes));
        kiln_html_format(out,
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                "'sha256-%s'; "
                "base-uri 'none'; form-action 'none'\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<title>%s</title>\n<style>",
                base64, title);
        kiln_buf_puts(out, kiln_report_style);
        kiln_html_format(out, "</style>\n</head>\n<body>\n");
}

static void put_fact(const char *name, const char *value, bool digest, struct kiln_buf *out)
{
        if (*value == '\0')
                return;
        kiln_html_format(out, "<dt>%s</dt><dd>", name);
        kiln_html_format(out, digest ? "<code class=\"digest\">%s</code></dd>\n" : "%s</dd>\n", value);
}

static void put_time_fact(const char *name, uint64_t unix_s, struct kiln_buf *out)
{
        char text[KILN_REPORT_TEXT];

        if (unix_s == 0)
                return;
        kiln_report_time(unix_s, text);
        put_fact(name, text, false, out);
}

static void put_header(const json_t *result, const struct verdict *v, const char *nvr, struct kiln_buf *out)
{
        const char *name = kiln_report_string(result, "verdict");

        kiln_html_format(out,
                "<header class=\"%s\">\n<p class=\"brand\">Kiln build report</p>\n<h1>%s</h1>\n", v->look,
                nvr);
        kiln_html_format(out,
                "<p class=\"verdict\"><span class=\"badge\"><span aria-hidden=\"true\">%s</span> %s</span> "
                "%s%s</p>\n",
                v->sign, name, v->text, kiln_report_bool(result, "final") ? " Nobody will try again." : "");
        kiln_html_format(out, "<dl class=\"facts\">\n");
        put_fact("Request", kiln_report_string(result, "buildDigest"), true, out);
        put_fact("Outputs", kiln_report_string(result, "outputsDigest"), true, out);
        put_fact("Lock", kiln_report_string(result, "lockDigest"), true, out);
        put_time_fact("Source date", kiln_report_number(result, "sourceDateEpochS"), out);
        put_time_fact("Began", kiln_report_number(result, "startedS"), out);
        put_time_fact("Ended", kiln_report_number(result, "finishedS"), out);
        kiln_html_format(out, "</dl>\n</header>\n");
}

/* What a reader needs is at a log's end: so many lines are shown, the rest folds away above them. */
#define LOG_LINES 24

static void put_log(const char *title, const char *log, struct kiln_buf *out)
{
        const char *end = log + strlen(log), *p = end;
        size_t lines = 0;

        while (p > log && (p[-1] == '\n' || p[-1] == ' '))
                p--;
        end = p;
        for (; p > log; p--)
                if (p[-1] == '\n' && ++lines == LOG_LINES)
                        break;
        kiln_html_format(out, "<h3>%s</h3>\n", title);
        if (p > log) {
                kiln_html_format(out,
                        "<details><summary>What came before</summary><pre class=\"log\" tabindex=\"0\">");
                kiln_html_text(out, log, (size_t)(p - log));
                kiln_html_format(out, "</pre></details>\n");
        }
        kiln_html_format(out, "<pre class=\"log tail\" tabindex=\"0\">");
        kiln_html_text(out, p, (size_t)(end - p));
        kiln_html_format(out, "</pre>\n");
}

static void put_error(const json_t *error, struct kiln_buf *out)
{
        const char *advice = kiln_report_string(error, "advice"), *phase = kiln_report_string(error, "phase"),
                   *log = kiln_report_string(error, "logTail");

        if (!json_is_object(error))
                return;
        kiln_html_format(out,
                "<section id=\"error\" class=\"error\"><h2>What went wrong</h2>\n<p class=\"cause\">%s</p>\n",
                kiln_report_string(error, "cause"));
        kiln_html_format(out, "<p>While %s <strong>%s</strong>", kiln_report_string(error, "doing"),
                kiln_report_string(error, "subject"));
        if (*phase)
                kiln_html_format(out, ", in phase <strong>%s</strong>", phase);
        kiln_html_format(out, ".</p>\n");
        if (*advice)
                kiln_html_format(
                        out, "<p class=\"advice\"><strong>What you can do:</strong> %s</p>\n", advice);
        if (*log)
                put_log("Its last lines", log, out);
        kiln_html_format(out, "</section>\n");
}

/* Kinds in the order of the page: what people came for first. */
static const struct kind {
        const char *kind, *text;
} kinds[] = {
        {"RPM", "package"}, {"SRPM", "source package"}, {"SPDX", "SBOM, SPDX"},
        {"CYCLONEDX", "SBOM, CycloneDX"}, {"ATTESTATIONS", "attestations"},
        {"BUNDLE", "attestation with a time stamp"}, {"LOCK", "lock"}, {"BUILD_LOG", "log of the build"},
        {"ROOT_LOG", "log of the build root"}, {"REPORT", "report"}, {NULL, "other"}, /* any other kind */
};

static bool kind_matches(const struct kind *k, const char *kind)
{
        if (k->kind)
                return strcmp(k->kind, kind) == 0;
        for (size_t i = 0; kinds[i].kind; i++)
                if (strcmp(kinds[i].kind, kind) == 0)
                        return false;
        return true;
}

static void put_artefact(const json_t *a, const char *what, struct kiln_buf *out)
{
        const char *header = kiln_report_string(a, "headerSha256"), *signer = kiln_report_string(a, "signer");
        char size[KILN_REPORT_TEXT];

        kiln_report_size(kiln_report_number(a, "sizeBytes"), size);
        kiln_html_format(out,
                "<tr><th scope=\"row\">%s</th><td>%s</td><td class=\"n\">%s</td><td><code "
                "class=\"digest\">%s</code>",
                kiln_report_string(a, "name"), what, size, kiln_report_string(a, "sha256"));
        if (*header)
                kiln_html_format(out,
                        "<details class=\"more\"><summary>%s</summary><dl><dt>header</dt><dd><code "
                        "class=\"digest\">%s</code></dd>"
                        "<dt>payload</dt><dd><code class=\"digest\">%s</code></dd><dt>file before "
                        "signing</dt><dd>"
                        "<code class=\"digest\">%s</code></dd><dt>signing "
                        "key</dt><dd><code>%s</code></dd></dl></details>",
                        *signer ? "signed; what signing leaves unchanged" : "not signed; header and payload",
                        header, kiln_report_string(a, "payloadSha256"),
                        kiln_report_string(a, "unsignedSha256"), *signer ? signer : "none");
        kiln_html_format(out, "</td></tr>\n");
}

static void put_artefacts(const json_t *artefacts, struct kiln_buf *out)
{
        const json_t *a;
        size_t i;

        if (json_array_size(artefacts) == 0)
                return;
        kiln_html_format(out,
                "<section id=\"artefacts\"><h2>Artefacts</h2>\n<div class=\"wide\"><table><thead><tr>"
                "<th scope=\"col\">File</th><th scope=\"col\">What</th><th scope=\"col\" "
                "class=\"n\">Size</th>"
                "<th scope=\"col\">SHA-256</th></tr></thead><tbody>\n");
        for (size_t k = 0; k < KILN_ARRAY_SIZE(kinds); k++)
                json_array_foreach(artefacts, i, a)
                {
                        if (kind_matches(&kinds[k], kiln_report_string(a, "kind")))
                                put_artefact(a, kinds[k].text, out);
                }
        kiln_html_format(out, "</tbody></table></div></section>\n");
}

/* File names of artefacts are checked by whoever publishes them; what would need quoting is left out here. */
static bool name_is_plain(const char *name)
{
        return *name && *name != '-' && *name != '.' &&
               name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_~^-")] ==
                       '\0';
}

static const char *artefact_of(const json_t *artefacts, const char *kind)
{
        const json_t *a;
        size_t i;

        json_array_foreach(artefacts, i,
                a) if (strcmp(kiln_report_string(a, "kind"), kind) == 0 &&
                       name_is_plain(kiln_report_string(a, "name"))) return kiln_report_string(a, "name");
        return NULL;
}

static void put_verify(const json_t *artefacts, struct kiln_buf *out)
{
        const char *envelopes = artefact_of(artefacts, "ATTESTATIONS"), *rpm = artefact_of(artefacts, "RPM");
        const json_t *a;
        bool any_signed = false;
        struct kiln_digest d;
        size_t i;

        if (json_array_size(artefacts) == 0)
                return;
        kiln_html_format(out, "<section id=\"verify\"><h2>How to verify</h2>\n<p>In the result directory, "
                              "with nothing but common "
                              "tools. This page is not part of what it lists.</p>\n<h3>The files are those "
                              "of this report</h3>\n"
                              "<pre tabindex=\"0\">sha256sum -c &lt;&lt;&#39;END&#39;\n");
        json_array_foreach(artefacts, i, a)
        {
                const char *name = kiln_report_string(a, "name");

                if (*kiln_report_string(a, "signer"))
                        any_signed = true;
                if (strcmp(kiln_report_string(a, "kind"), "REPORT") != 0 && name_is_plain(name) &&
                        kiln_digest_from_hex(kiln_report_string(a, "sha256"), &d) == 0)
                        kiln_html_format(out, "%s  %s\n", kiln_report_string(a, "sha256"), name);
        }
        kiln_html_format(out, "END</pre>\n");
        if (rpm && any_signed)
                kiln_html_format(out,
                        "<h3>The packages are signed</h3>\n<p><code>rpm.asc</code> is the "
                        "builder\xe2\x80\x99s public key: it must "
                        "come to you on a way you trust.</p>\n<pre tabindex=\"0\">db=$(mktemp -d)\n"
                        "rpmkeys --dbpath \"$db\" --import rpm.asc\n"
                        "rpmkeys --dbpath \"$db\" --define &#39;_pkgverify_level all&#39; --checksig "
                        "--verbose *.rpm</pre>\n");
        if (envelopes)
                kiln_html_format(out,
                        "<h3>The attestations are signed</h3>\n<p>Provenance, SBOMs and test results, one "
                        "DSSE envelope a "
                        "line; <code>attest.pub</code> is the builder\xe2\x80\x99s other public "
                        "key.</p>\n<pre tabindex=\"0\">"
                        "while read -r line; do\n"
                        "  printf %%s \"$line\" | jq -r .payload | base64 -d &gt;body\n"
                        "  printf %%s \"$line\" | jq -r &#39;.signatures[0].sig&#39; | base64 -d &gt;sig\n"
                        "  { printf &#39;DSSEv1 28 application/vnd.in-toto+json %%s &#39; \"$(stat -c %%s "
                        "body)\"; cat body; } &gt;pae\n"
                        "  openssl pkeyutl -verify -pubin -inkey attest.pub -rawin -in pae -sigfile sig\n"
                        "done &lt;%s</pre>\n",
                        envelopes);
        kiln_html_format(out, "</section>\n");
}

static void put_findings(const json_t *findings, struct kiln_buf *out)
{
        const json_t *f;
        size_t i;

        if (json_array_size(findings) == 0)
                return;
        kiln_html_format(out, "<section id=\"findings\"><h2>Findings</h2>\n<ul class=\"findings\">\n");
        json_array_foreach(findings, i, f)
        {
                bool warning = strcmp(kiln_report_string(f, "severity"), "WARNING") == 0;
                const char *subject = kiln_report_string(f, "subject");

                kiln_html_format(out, "<li class=\"%s\"><span class=\"severity\">%s</span> <code>%s</code> ",
                        warning ? "warn" : "info", warning ? "warning" : "info", kiln_report_string(f, "id"));
                if (*subject)
                        kiln_html_format(out, "<strong>%s</strong> ", subject);
                kiln_html_format(out, "%s</li>\n", kiln_report_string(f, "text"));
        }
        kiln_html_format(out, "</ul></section>\n");
}

static void put_peak(const char *name, uint64_t value, bool bytes, struct kiln_buf *out)
{
        char text[KILN_REPORT_TEXT];

        if (value == 0)
                return;
        if (bytes)
                kiln_report_size(value, text);
        else
                snprintf(text, sizeof(text), "%lu", (unsigned long)value);
        put_fact(name, text, false, out);
}

static void put_sandbox(const json_t *result, struct kiln_buf *out)
{
        const json_t *peaks = json_object_get(result, "peaks"), *denied = json_object_get(result, "denied"),
                     *d;
        const char *id_mode = kiln_report_string(result, "idMode");
        char cpu[KILN_REPORT_TEXT] = "";
        size_t i;

        if (!*id_mode && !json_is_object(peaks) && json_array_size(denied) == 0)
                return;
        if (kiln_report_number(peaks, "cpuMs"))
                kiln_report_duration(kiln_report_number(peaks, "cpuMs"), cpu);
        kiln_html_format(out, "<section id=\"sandbox\"><h2>Sandbox</h2>\n<dl class=\"facts\">\n");
        put_fact("Ids",
                strcmp(id_mode, "range") == 0    ? "a range of ids"
                : strcmp(id_mode, "single") == 0 ? "a single id (no range of subordinate ids on this host)"
                                                 : id_mode,
                false, out);
        if (json_is_object(peaks))
                put_fact("Limits",
                        kiln_report_bool(peaks, "cgroup")
                                ? "memory and processes enforced by a cgroup"
                                : "no cgroup was delegated: memory was not limited as a whole",
                        false, out);
        put_fact("CPU time", cpu, false, out);
        put_peak("Peak memory, all processes", kiln_report_number(peaks, "memoryBytes"), true, out);
        put_peak("Peak memory, largest process", kiln_report_number(peaks, "rssBytes"), true, out);
        put_peak("Peak number of processes", kiln_report_number(peaks, "pids"), false, out);
        put_peak("Output", kiln_report_number(peaks, "outputBytes"), true, out);
        put_peak("Disk", kiln_report_number(peaks, "diskBytes"), true, out);
        kiln_html_format(out, "</dl>\n<h3>Denied calls</h3>\n");
        if (json_array_size(denied) == 0)
                kiln_html_format(out, "<p>None was seen.</p>\n");
        else {
                kiln_html_format(out, "<ul class=\"chips\">");
                json_array_foreach(denied, i, d) kiln_html_format(out,
                        "<li><code>%s</code> \xc3\x97 %lu</li>", kiln_report_string(d, "syscall"),
                        (unsigned long)kiln_report_number(d, "count"));
                kiln_html_format(out, "</ul>\n");
        }
        kiln_html_format(out, "</section>\n");
}

static void put_host(const json_t *host, struct kiln_buf *out)
{
        char memory[KILN_REPORT_TEXT] = "", cpus[KILN_REPORT_TEXT] = "";

        if (!json_is_object(host))
                return;
        if (kiln_report_number(host, "memoryBytes"))
                kiln_report_size(kiln_report_number(host, "memoryBytes"), memory);
        if (kiln_report_number(host, "cpus"))
                snprintf(cpus, sizeof(cpus), "%lu", (unsigned long)kiln_report_number(host, "cpus"));
        kiln_html_format(out, "<section id=\"host\"><h2>Host</h2>\n<p>Recorded, never compared.</p>\n<dl "
                              "class=\"facts\">\n");
        put_fact("Worker", kiln_report_string(host, "worker"), false, out);
        put_fact("Kiln", kiln_report_string(host, "kiln"), false, out);
        put_fact("System", kiln_report_string(host, "os"), false, out);
        put_fact("Kernel", kiln_report_string(host, "kernelRelease"), false, out);
        put_fact("Processor", kiln_report_string(host, "cpuModel"), false, out);
        put_fact("Runs up to", kiln_report_string(host, "isaLevel"), false, out);
        put_fact("Processors", cpus, false, out);
        put_fact("Memory", memory, false, out);
        kiln_html_format(out, "</dl>\n</section>\n");
}

int kiln_report_write(const json_t *result, const json_t *lock, const json_t *inputs, const char *log_tail,
        struct kiln_buf *out)
{
        const json_t *error = json_object_get(result, "error"),
                     *artefacts = json_object_get(result, "artefacts");
        const struct verdict *v = verdict_find(kiln_report_string(result, "verdict"));
        const char *nvr = kiln_report_string(result, "nvr");
        _cleanup_free_ char *title = NULL;

        if (!json_is_object(result))
                return -EINVAL;
        if (*nvr == '\0')
                nvr = "Unknown package";
        title = kiln_asprintf("%s: %s - Kiln build report", nvr, kiln_report_string(result, "verdict"));
        kiln_report_head(title, out);
        put_header(result, v, nvr, out);
        kiln_html_format(out, "<main>\n");
        put_error(error, out);
        kiln_report_timeline(json_object_get(result, "phases"), kiln_report_string(error, "phase"), out);
        put_artefacts(artefacts, out);
        put_findings(json_object_get(result, "findings"), out);
        put_verify(artefacts, out);
        kiln_report_buildroot(json_object_get(result, "buildroot"), lock, out);
        kiln_report_inputs(inputs, out);
        put_sandbox(result, out);
        put_host(json_object_get(result, "host"), out);
        if (log_tail && *log_tail) {
                kiln_html_format(out, "<section id=\"log\"><h2>Log</h2>\n");
                put_log("The end of the build\xe2\x80\x99s log", log_tail, out);
                kiln_html_format(out, "</section>\n");
        }
        kiln_html_format(out, "</main>\n</body>\n</html>\n");
        return 0;
}
