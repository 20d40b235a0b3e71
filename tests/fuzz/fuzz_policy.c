/* Policies of arbitrary text: refused, or filters that still kill what is no 64-bit call of this machine and
 * never allow what the text does not name. */
#include "sandbox/policy/compile.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What libseccomp emits of classic BPF. */
static uint32_t bpf_run(const struct sock_filter *program, unsigned short n, const struct seccomp_data *data)
{
        uint32_t a = 0;

        for (unsigned pc = 0; pc < n; pc++) {
                const struct sock_filter *i = &program[pc];

                switch (i->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        if (i->k > sizeof *data - 4)
                                abort();
                        memcpy(&a, (const char *)data + i->k, 4);
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= i->k;
                        break;
                case BPF_JMP | BPF_JA:
                        pc += i->k;
                        break;
                case BPF_JMP | BPF_JEQ | BPF_K:
                        pc += a == i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGE | BPF_K:
                        pc += a >= i->k ? i->jt : i->jf;
                        break;
                case BPF_JMP | BPF_JGT | BPF_K:
                        pc += a > i->k ? i->jt : i->jf;
                        break;
                case BPF_RET | BPF_K:
                        return i->k;
                default:
                        abort();
                }
        }
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = malloc(size + 1);
        struct compiled c = {0};

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = '\0';
        if (policy_compile(text, size & 1, (enum seccomp_answers)(size / 2 % SECCOMP_ANSWERS), &c) == 0) {
                for (int nr = 0; nr < SECCOMP_NUMBERS; nr++) {
                        const struct seccomp_data i386 = {.nr = nr, .arch = AUDIT_ARCH_I386},
                                                  x32 = {.nr = nr | 0x40000000, .arch = AUDIT_ARCH_X86_64},
                                                  native = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

                        if (bpf_run(c.main, c.n_main, &i386) != SECCOMP_RET_KILL_PROCESS ||
                                bpf_run(c.main, c.n_main, &x32) != SECCOMP_RET_KILL_PROCESS)
                                abort();
                        if (!c.named[nr] && bpf_run(c.main, c.n_main, &native) != SECCOMP_RET_USER_NOTIF)
                                abort();
                }
        }
        free(c.args);
        free(c.main);
        free(text);
        return 0;
}
