/* How far a job is: steps and pictures, each by what it costs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-pace.h"

static void
assert_near (double got,
             double expected)
{
  g_assert_cmpfloat_with_epsilon (got, expected, 1e-9);
}

static void
test_steps_alone (void)
{
  DimrPace pace = { .n_steps = 40, .n_pictures = 2 };

  assert_near (dimr_pace_advance (&pace), 0);
  assert_near (dimr_pace_get_seconds_left (&pace), 0); /* nobody knows yet */
  dimr_pace_add_steps (&pace, 10, 5);
  assert_near (dimr_pace_get_step_seconds (&pace), .5);
  assert_near (dimr_pace_get_seconds_left (&pace), 15);
  assert_near (dimr_pace_advance (&pace), .25);
}

/* Before the first picture its arithmetic says what it will cost, then a clock does. */
static void
test_decoding_counts (void)
{
  DimrPace pace = { .n_steps = 20, .n_pictures = 2, .steps_a_picture = 5 };

  dimr_pace_add_steps (&pace, 10, 10);
  assert_near (dimr_pace_get_seconds_left (&pace), 10 + 2 * 5);
  assert_near (dimr_pace_advance (&pace), 10. / 30);
  dimr_pace_add_picture (&pace, 2);
  assert_near (dimr_pace_get_seconds_left (&pace), 10 + 2);
  assert_near (dimr_pace_advance (&pace), 12. / 24);
  dimr_pace_add_steps (&pace, 10, 10);
  assert_near (dimr_pace_advance (&pace), 22. / 24);
  dimr_pace_add_picture (&pace, 2);
  assert_near (dimr_pace_advance (&pace), 1);
  assert_near (dimr_pace_get_seconds_left (&pace), 0);
}

static void
test_never_falls (void)
{
  DimrPace pace = { .n_steps = 10, .n_pictures = 2 };

  dimr_pace_add_steps (&pace, 5, 5);
  assert_near (dimr_pace_advance (&pace), .5);
  dimr_pace_add_picture (&pace, 10); /* dearer than nothing, which was the guess */
  assert_near (dimr_pace_advance (&pace), .5);
  assert_near (dimr_pace_get_seconds_left (&pace), 15);
  dimr_pace_add_steps (&pace, 5, 5);
  assert_near (dimr_pace_advance (&pace), 20. / 30);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pace/steps-alone", test_steps_alone);
  g_test_add_func ("/pace/decoding-counts", test_decoding_counts);
  g_test_add_func ("/pace/never-falls", test_never_falls);
  return g_test_run ();
}
