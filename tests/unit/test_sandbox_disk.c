/* sandbox/disk.c: when the disk watcher looks again. That the limit ends a build: tests/e2e/hostile.sh. */
#include "sandbox/disk.h"
#include "tests/unit/sandbox_fixture.h"

#define SECOND UINT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)

/* Took half a second: it is 4.5 until a tenth of the time is used, 49.5 until a hundredth is. */
static const struct disk_measured slow = {.begin_ns = 6 * SECOND + SECOND / 2,
        .end_ns = 7 * SECOND,
        .bytes = 800 * MIB,
        .limit_bytes = 100000 * MIB};

static void test_small_tree_every_second(void **state)
{
        struct disk_measured quick = slow;

        quick.end_ns = quick.begin_ns + SECOND / 100;
        assert_false(disk_is_due(&quick, quick.end_ns + SECOND / 2, 0));
        assert_true(disk_is_due(&quick, quick.end_ns + SECOND, 0));
}

static void test_huge_tree_seldom(void **state)
{
        assert_false(disk_is_due(&slow, slow.end_ns + 5 * SECOND, 0));
        assert_false(disk_is_due(&slow, slow.end_ns + 49 * SECOND, 0));
        assert_true(disk_is_due(&slow, slow.end_ns + 50 * SECOND, 0));
}

/* Growth that others hide must not stay hidden for a hundred times as long as a huge tree takes to measure.
 */
static void test_after_a_minute_anyway(void **state)
{
        struct disk_measured slower = slow;

        slower.begin_ns = slower.end_ns - 5 * SECOND;
        assert_false(disk_is_due(&slower, slower.end_ns + 59 * SECOND, 0));
        assert_true(disk_is_due(&slower, slower.end_ns + 60 * SECOND, 0));
        /* unless that were more than a tenth of the time */
        slower.end_ns = slower.begin_ns + 10 * SECOND;
        assert_false(disk_is_due(&slower, slower.end_ns + 89 * SECOND, 0));
        assert_true(disk_is_due(&slower, slower.end_ns + 90 * SECOND, 0));
}

static void test_growing_tree_sooner(void **state)
{
        assert_false(disk_is_due(&slow, slow.end_ns + 5 * SECOND, 199 * MIB));
        assert_true(disk_is_due(&slow, slow.end_ns + 5 * SECOND, 200 * MIB));
        /* but it is never looked at for more than a tenth of the time */
        assert_false(disk_is_due(&slow, slow.end_ns + 4 * SECOND, 90000 * MIB));
}

static void test_near_the_limit_sooner(void **state)
{
        struct disk_measured near = slow;

        near.limit_bytes = near.bytes + 40 * MIB;
        assert_false(disk_is_due(&near, near.end_ns + 5 * SECOND, 9 * MIB));
        assert_true(disk_is_due(&near, near.end_ns + 5 * SECOND, 10 * MIB));
        near.limit_bytes = near.bytes; /* reached */
        assert_true(disk_is_due(&near, near.end_ns + 5 * SECOND, 0));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_small_tree_every_second),
                cmocka_unit_test(test_huge_tree_seldom),
                cmocka_unit_test(test_after_a_minute_anyway),
                cmocka_unit_test(test_growing_tree_sooner),
                cmocka_unit_test(test_near_the_limit_sooner),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
