#include "worker/pipeline/inspect.h"

#include "worker/attest/isa/isa.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* What crosses the border out of the sandbox, at most. */
#define REPORT_BYTES_MAX ((size_t)256 << 20)

struct inspect_job {
        const struct kiln_built *built;
        size_t n_built;
        enum kiln_isa_level level;
        int out_fd;
};

void inspection_clear(struct inspection *i)
{
        kiln_json_decrefp(&i->report);
        kiln_strv_free(i->passed);
        kiln_strv_free(i->warnings);
        kiln_strv_free(i->failures);
        *i = (struct inspection){0};
}

/* In the sandbox: one JSON array, an element a package. */
static int inspect_entry(void *arg)
{
        const struct inspect_job *j = arg;
        _cleanup_json_ json_t *all = json_array();
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        for (size_t i = 0; i < j->n_built; i++) {
                _cleanup_isa_report_ struct kiln_isa_report report = KILN_ISA_REPORT_INIT;
                _cleanup_free_ char *path = kiln_asprintf(KILN_BUILD_TOPDIR "/RPMS/%s", j->built[i].name);
                _cleanup_close_ int fd = -1;
                json_t *explained;

                if (j->built[i].rpm->source)
                        continue;
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0 || kiln_isa_check_rpm(fd, j->built[i].name, NULL, &report, NULL) < 0)
                        return KILN_BUILD_FAILED;
                explained = json_object();
                for (size_t f = 0; f < report.n_files; f++) {
                        _cleanup_free_ char *why = kiln_isa_explain(&report.files[f], j->level);

                        if (why)
                                json_object_set_new(explained, report.files[f].name, json_string(why));
                }
                json_array_append_new(
                        all, json_pack("{s:s, s:o, s:o}", "package", j->built[i].name, "report",
                                     kiln_isa_report_json(&report, j->level), "explained", explained));
        }
        kiln_json_canonical(all, &text);
        return kiln_fd_write(j->out_fd, text.data, text.len) < 0 ? KILN_INFRA : 0;
}

/* One file of a report: the words of its judgement become findings and test names. */
static void judge_file(struct kiln_job *j, const json_t *file, const json_t *explained, struct inspection *in)
{
        const char *name = json_string_value(json_object_get(file, "name"));
        const char *why = name ? json_string_value(json_object_get(explained, name)) : NULL;
        bool failed = false, warned = false;
        const json_t *word;
        size_t i;

        if (!name)
                return;
        json_array_foreach(json_object_get(file, "judgement"), i, word)
        {
                const char *w = json_string_value(word);

                if (!w)
                        continue;
                if (strcmp(w, "above") == 0 || strcmp(w, "unreadable") == 0) {
                        failed = true;
                        record_finding(j->record, true, "isa.above", name, "%s", why ? why : w);
                } else if (strcmp(w, "level-unused") == 0) {
                        record_finding(j->record, false, "isa.unused-level", name,
                                "has code, but no instruction of level %s",
                                kiln_isa_level_name(j->params.isa));
                } else {
                        warned = true;
                        record_finding(j->record, false, "isa.check", name, "%s: %s", w,
                                why ? why : "a person should look");
                }
        }
        kiln_strv_append(failed ? &in->failures : warned ? &in->warnings : &in->passed, name);
}

int inspect_isa(struct kiln_job *j, struct inspection *ret, struct kiln_error *err)
{
        struct inspect_job job = {j->built, j->n_built, j->params.isa, -1};
        _cleanup_(inspection_clear) struct inspection in = {0};
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
        _cleanup_close_ int fd = memfd_create("kiln-isa", MFD_CLOEXEC);
        _cleanup_json_ json_t *all = NULL;
        json_t *package;
        size_t i, f;
        int status = 0, r;

        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, errno, "checking", "instructions", "memfd");
        job.out_fd = fd;
        r = kiln_build_inspect(j->build, &j->root, inspect_entry, &job, fd, &status, err);
        if (r < 0)
                return r;
        if (status != 0)
                return kiln_error_set(err,
                        (enum kiln_verdict)status == KILN_INFRA ? KILN_INFRA : KILN_BUILD_FAILED, 0,
                        "checking", j->srpm->nvr, "a package's payload cannot be read");
        if (lseek(fd, 0, SEEK_SET) < 0 || kiln_fd_read(fd, REPORT_BYTES_MAX, &text) < 0)
                return kiln_error_set(
                        err, KILN_INFRA, errno, "reading", "the ISA report", "from the sandbox");
        r = kiln_json_parse(kiln_buf_str(&text), text.len, "the ISA report", &all, err);
        if (r < 0)
                return r;
        in.passed = kiln_calloc(1, sizeof(char *));
        in.warnings = kiln_calloc(1, sizeof(char *));
        in.failures = kiln_calloc(1, sizeof(char *));
        json_array_foreach(all, i, package)
        {
                const json_t *explained = json_object_get(package, "explained"), *file;

                json_array_foreach(json_object_get(json_object_get(package, "report"), "files"), f, file)
                        judge_file(j, file, explained, &in);
                json_object_del(package, "explained");
        }
        in.report = json_pack("{s:s, s:O}", "level", kiln_isa_level_name(j->params.isa), "packages", all);
        if (in.failures[0]) {
                kiln_error_set(err, KILN_BUILD_FAILED, 0, "checking the instructions of", in.failures[0],
                        "code above level %s that no run-time dispatch guards",
                        kiln_isa_level_name(j->params.isa));
                kiln_error_advise(err, "Look for -march=native or hand-set -m flags in the package; `kiln "
                                       "isa` shows the place.");
                return -EIO;
        }
        *ret = in;
        in = (struct inspection){0};
        return 0;
}
