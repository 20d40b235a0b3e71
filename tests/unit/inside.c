/* What a static program sees of the memory and of the clock, five ways, and whether signals make that fail;
 * run inside a sandbox by test_sandbox_vary. Static, so that no library of the root has a say; the last way
 * looks for the vDSO as a program of another language would. */
#include <elf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef long time_function(time_t *);

static time_t vdso_time(void)
{
        const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
        const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
        const Elf64_Shdr *sections = (const Elf64_Shdr *)(image + (image ? header->e_shoff : 0));

        for (size_t s = 0; image && s < header->e_shnum; s++) {
                const Elf64_Sym *symbols = (const Elf64_Sym *)(image + sections[s].sh_offset);

                for (size_t i = 0;
                        sections[s].sh_type == SHT_DYNSYM && i < sections[s].sh_size / sizeof *symbols; i++)
                        if (strcmp(image + sections[sections[s].sh_link].sh_offset + symbols[i].st_name,
                                    "__vdso_time") == 0)
                                return ((time_function *)(uintptr_t)(image + symbols[i].st_value))(NULL);
        }
        return time(NULL);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
        alarms++;
}

/* Reads the clock under a rain of signals: how often it failed, until there were enough of them. */
static int read_interrupted(void)
{
        struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
        struct itimerval often = {{0, 200}, {0, 200}};
        unsigned failures = 0;
        struct timeval b;
        struct timespec a;

        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
        while (alarms < 500)
                failures += clock_gettime(CLOCK_REALTIME, &a) != 0 || gettimeofday(&b, NULL) != 0 ||
                            time(NULL) == -1;
        printf("%u\n", failures);
        return 0;
}

int main(int argc, char **argv)
{
        struct timespec a, b, mono;
        struct timeval c;
        struct sysinfo s;

        if (argc > 1 && strcmp(argv[1], "memory") == 0) {
                sysinfo(&s);
                printf("%llu\n", (unsigned long long)s.totalram * s.mem_unit);
                return 0;
        }

        if (argc > 1 && strcmp(argv[1], "interrupted") == 0)
                return read_interrupted();
        clock_gettime(CLOCK_REALTIME, &a);
        syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &b);
        gettimeofday(&c, NULL);
        clock_gettime(CLOCK_MONOTONIC, &mono);
        printf("%ld %ld %ld %ld %ld %ld\n", (long)a.tv_sec, (long)b.tv_sec, (long)c.tv_sec, (long)time(NULL),
                (long)vdso_time(), (long)mono.tv_sec);
        return 0;
}
