/* Turns the policy's text into filters.
 *
 * Must never accept a line it does not fully understand: a policy that is half applied is no policy. All
 * comparisons are made on the low 32 bits under a mask, since libseccomp before 2.6.1 can merge 64-bit ones
 * into a weaker filter; tests/unit/test_sandbox_seccomp.c runs the resulting BPF. */
#include "sandbox/policy/compile.h"
#include "sandbox/util.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum verb {
        VERB_ALLOW,
        VERB_DENY,
        VERB_ENOSYS,
        VERB_REFUSE,
        VERB_TRACED_REFUSE,
        VERB_ZERO,
        VERB_SINGLE_ZERO,
        VERB_ANSWER,
        VERB_VARY,
};

static const struct {
        const char *word;
        enum verb verb;
} verbs[] = {
        {"allow ", VERB_ALLOW},
        {"deny ", VERB_DENY},
        {"enosys ", VERB_ENOSYS},
        {"refuse ", VERB_REFUSE},
        {"traced refuse ", VERB_TRACED_REFUSE},
        {"zero ", VERB_ZERO},
        {"single zero ", VERB_SINGLE_ZERO},
        {"answer ", VERB_ANSWER},
        {"vary ", VERB_VARY},
};

#define CONDITIONS_MAX 6

struct line {
        enum verb verb;
        struct scmp_arg_cmp conditions[CONDITIONS_MAX];
        unsigned n_conditions;
};

struct compiler {
        scmp_filter_ctx args;
        scmp_filter_ctx main;
        bool single;
        enum seccomp_answers answers;
        struct compiled *compiled;
};

static int parse_u32(char **at, uint32_t *ret)
{
        char *end;
        unsigned long v;

        errno = 0;
        v = strtoul(*at, &end, 0); /* base 0: hexadecimal flags and octal modes read as in the headers */
        if (errno != 0 || end == *at || v > UINT32_MAX)
                return -EINVAL;
        *at = end;
        *ret = (uint32_t)v;
        return 0;
}

static bool parse_word(char **at, const char *word)
{
        size_t n = strlen(word);

        if (strncmp(*at, word, n) != 0)
                return false;
        *at += n;
        return true;
}

/* "0 & 0xff = 1 and 2 & 0xff = 0" */
static int parse_conditions(char *at, struct line *line)
{
        do {
                uint32_t arg, mask, value;

                if (line->n_conditions == CONDITIONS_MAX || parse_u32(&at, &arg) < 0 || arg > 5 ||
                        !parse_word(&at, " & ") || parse_u32(&at, &mask) < 0 || !parse_word(&at, " = ") ||
                        parse_u32(&at, &value) < 0 || (value & ~mask) != 0)
                        return -EINVAL;
                line->conditions[line->n_conditions++] =
                        SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, (scmp_datum_t)mask, (scmp_datum_t)value);
        } while (parse_word(&at, " and "));
        return *at == '\0' ? 0 : -EINVAL;
}

static int rule_add(struct compiler *c, const struct line *line, int number)
{
        scmp_filter_ctx filter = c->main;
        uint32_t action;

        switch (line->verb) {
        case VERB_ALLOW:
                action = SCMP_ACT_ALLOW;
                break;
        case VERB_DENY: /* what no rule names reaches the listener, which knows the named ones */
                return 0;
        case VERB_ENOSYS:
                action = SCMP_ACT_ERRNO(ENOSYS);
                break;
        case VERB_TRACED_REFUSE:
        case VERB_REFUSE:
                if (line->verb == VERB_TRACED_REFUSE && c->answers < SECCOMP_ANSWER_CLOCK)
                        return 0;
                action = SCMP_ACT_ERRNO(EPERM);
                filter = c->args;
                break;
        case VERB_ZERO:
                action = SCMP_ACT_ERRNO(0);
                filter = line->n_conditions > 0 ? c->args : c->main;
                break;
        case VERB_SINGLE_ZERO:
                action = c->single ? SCMP_ACT_ERRNO(0) : SCMP_ACT_ALLOW;
                break;
        case VERB_ANSWER:
                if (c->answers >= SECCOMP_ANSWER_UNAME)
                        return 0;
                action = SCMP_ACT_ALLOW;
                break;
        case VERB_VARY:
                if (c->answers >= SECCOMP_ANSWER_VIEW)
                        return 0;
                action = SCMP_ACT_ALLOW;
                break;
        default:
                return -EINVAL;
        }
        return seccomp_rule_add_array(filter, action, number, line->n_conditions, line->conditions);
}

/* "name" or "name=number". 1: this architecture has no such call. */
static int resolve(char *word, int *ret)
{
        char *equals = strchr(word, '=');
        uint32_t number;

        if (equals)
                *equals = '\0';
        *ret = seccomp_syscall_resolve_name(word);
        if (*ret == __NR_SCMP_ERROR && equals) {
                equals++;
                if (parse_u32(&equals, &number) < 0 || *equals != '\0' || number >= SECCOMP_NUMBERS)
                        return -EINVAL;
                *ret = (int)number;
        }
        if (*ret == __NR_SCMP_ERROR)
                return -ENOENT;
        return *ret < 0 ? 1 : 0;
}

static int line_compile(struct compiler *c, char *text)
{
        struct line line = {0};
        char *word, *save = NULL, *conditions;
        size_t i;
        int r, number;

        for (i = 0; i < SANDBOX_COUNT(verbs); i++)
                if (parse_word(&text, verbs[i].word))
                        break;
        if (i == SANDBOX_COUNT(verbs))
                return -EINVAL;
        line.verb = verbs[i].verb;
        conditions = strstr(text, " if ");
        if (conditions) {
                *conditions = '\0';
                r = parse_conditions(conditions + 4, &line);
                if (r < 0)
                        return r;
        }
        if ((line.verb == VERB_REFUSE || line.verb == VERB_TRACED_REFUSE) && line.n_conditions == 0)
                return -EINVAL;
        for (word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
                r = resolve(word, &number);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (number >= SECCOMP_NUMBERS)
                        return -ERANGE;
                c->compiled->named[number] = true;
                r = rule_add(c, &line, number);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int export(scmp_filter_ctx filter, struct sock_filter **ret, unsigned short *ret_n)
{
        struct stat st;
        int r;

        _fd_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = seccomp_export_bpf(filter, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        size_t size = (size_t)st.st_size, n = size / sizeof **ret;
        if (n == 0 || n > BPF_MAXINSNS || size % sizeof **ret != 0)
                return -E2BIG;
        _mem_ struct sock_filter *program = malloc(size);
        if (!program)
                return -ENOMEM;
        if (pread(fd, program, size, 0) != (ssize_t)size)
                return -EIO;
        *ret = program;
        *ret_n = (unsigned short)n;
        program = NULL;
        return 0;
}

static scmp_filter_ctx filter_new(uint32_t default_action)
{
        scmp_filter_ctx f = seccomp_init(default_action);

        if (!f)
                return NULL;
        if (seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
                seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2 /* binary tree */) < 0) {
                seccomp_release(f);
                return NULL;
        }
        return f;
}

int policy_compile(const char *policy, bool single, enum seccomp_answers answers, struct compiled *ret)
{
        struct compiler c = {NULL, NULL, single, answers, ret};
        _mem_ char *text = strdup(policy);
        char *save = NULL, shown[128];
        int r = 0;

        c.args = filter_new(SCMP_ACT_ALLOW);
        c.main = filter_new(SCMP_ACT_NOTIFY);
        if (!text || !c.args || !c.main)
                return -ENOMEM;
        for (char *line = strtok_r(text, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save)) {
                if (line[0] == '#')
                        continue;
                snprintf(shown, sizeof shown, "%s", line);
                r = line_compile(&c, line);
                if (r < 0)
                        fprintf(stderr, "policy: cannot use \"%s\": %s\n", shown, strerror(-r));
        }
        if (r == 0)
                r = export(c.args, &ret->args, &ret->n_args);
        if (r == 0)
                r = export(c.main, &ret->main, &ret->n_main);
        seccomp_release(c.args);
        seccomp_release(c.main);
        return r;
}
