/* What makes a build bit-identical is here, as a table. */
#include "worker/build/command.h"

#include "worker/base/mem.h"
#include "worker/build/build_private.h"

#include <stdio.h>

/* Fixed for every build, before the toolchain's own macros. */
static const struct {
        const char *name, *body;
} fixed[] = {
        {"_rpmfilename", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"},
        {"_buildhost", "localhost"},
        {"use_source_date_epoch_as_buildtime", "1"},
        {"clamp_mtime_to_source_date_epoch", "1"},            /* rpm up to 4.19 */
        {"build_mtime_policy", "clamp_to_source_date_epoch"}, /* from 4.20 */
        {"source_date_epoch_from_changelog", "1"},
        {"_binary_payload", "w19.zstdio"}, /* no thread count: it would be stored in PAYLOADFLAGS */
        {"_source_payload", "w19.zstdio"},
        {"_changelog_trimtime", "0"},
};

static void define(char ***argv, const char *name, const char *body)
{
        _cleanup_free_ char *text = kiln_asprintf("%s %s", name, body);

        kiln_strv_append(argv, "--define");
        kiln_strv_append(argv, text);
}

static void define_all(char ***argv, const struct kiln_macro *macros, size_t n)
{
        for (size_t i = 0; i < n; i++)
                define(argv, macros[i].name, macros[i].body);
}

static void bconds(char ***argv, const char *option, char *const *names)
{
        for (; names && *names; names++) {
                kiln_strv_append(argv, option);
                kiln_strv_append(argv, *names);
        }
}

void command_options(const struct kiln_build_params *p, char ***argv)
{
        const struct kiln_toolchain *t = p->toolchain;
        unsigned cpus = p->cpus ? p->cpus : t->cpus;
        _cleanup_free_ char *topdir = build_topdir(p, "");
        struct kiln_macro *level = NULL;
        size_t n_level = 0;
        char number[16];

        if (p->arch_tag && p->arch_tag[0]) {
                kiln_strv_append(argv, "--target");
                kiln_strv_append(argv, p->arch_tag);
        }
        define(argv, "_topdir", topdir);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(fixed); i++)
                define(argv, fixed[i].name, fixed[i].body);
        define_all(argv, t->macros, t->n_macros);
        kiln_isa_level_macros(p->isa, &level, &n_level);
        define_all(argv, level, n_level);
        for (size_t i = 0; i < n_level; i++) {
                free(level[i].name);
                free(level[i].body);
        }
        free(level);
        if (cpus) {
                snprintf(number, sizeof(number), "%u", cpus);
                define(argv, "_smp_build_ncpus", number);
        }
        if (p->dist && p->dist[0])
                define(argv, "dist", p->dist);
        define_all(argv, p->macros, p->n_macros);
        bconds(argv, "--with", p->bcond_with);
        bconds(argv, "--without", p->bcond_without);
        if (p->skip_check)
                kiln_strv_append(argv, "--nocheck");
}

static void set(char ***env, const char *name, const char *value)
{
        _cleanup_free_ char *text = kiln_asprintf("%s=%s", name, value);

        kiln_strv_append(env, text);
}

void command_environment(const struct kiln_build_view *view, int64_t epoch_s, char ***env)
{
        static const char *const fixed_env[] = {
                "SHELL=/bin/bash",
                "TERM=dumb",
                "USER=mockbuild",
                "LOGNAME=mockbuild",
        };

        set(env, "PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        set(env, "HOME", view->home ? view->home : KILN_BUILD_HOME);
        for (size_t i = 0; i < KILN_ARRAY_SIZE(fixed_env); i++)
                kiln_strv_append(env, fixed_env[i]);
        set(env, "LANG", view->locale ? view->locale : "C.UTF-8");
        if (view->locale)
                set(env, "LC_ALL", view->locale);
        set(env, "TZ", view->timezone ? view->timezone : "UTC");
        if (epoch_s >= 0) {
                _cleanup_free_ char *s = kiln_asprintf("SOURCE_DATE_EPOCH=%lld", (long long)epoch_s);

                kiln_strv_append(env, s);
        }
}
