/* copies.cpp — cp.async: copies that have been started and not been waited for
 *
 * Of the time at which such a copy lands a kernel knows only that it is over when the thread that started it
 * has waited. So what it writes is spoilt at once, and lands as late as it may; in a random order of threads
 * now and then as early as it may. A kernel that waits in the wrong place reads NaN, or what its source held later.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "emulator.h"

#include <vector>

namespace emulator
{

struct Copy
{
  char *to;
  const char *from;
  int size, valid;    /* bytes; those behind @valid become zero */
  Site site;
};

/* By the rank of the thread. */
static std::vector<Copy> started[max_threads];

static void
land (const Copy &copy)
{
  memcpy (copy.to, copy.from, static_cast<size_t> (copy.valid));
  memset (copy.to + copy.valid, 0, static_cast<size_t> (copy.size - copy.valid));
}

static void
start_copy (void *shared, const void *global, int size, int valid, Site site)
{
  const Copy copy = { static_cast<char *> (shared), static_cast<const char *> (global), size, valid, site };

  if (size != 4 && size != 8 && size != 16)
    fail ("cp.async copies 4, 8 or 16 bytes", site);
  if (reinterpret_cast<uintptr_t> (shared) % static_cast<unsigned> (size) != 0 ||
      reinterpret_cast<uintptr_t> (global) % static_cast<unsigned> (size) != 0)
    fail ("an address of cp.async is no multiple of what it copies", site);
  if (valid < 0 || valid > size)
    fail ("cp.async cannot fill up with zeros what is longer than itself", site);
  if (!is_shared (shared, static_cast<size_t> (size)))
    fail ("the destination of cp.async is not in shared memory", site);
  memset (shared, 0xff, static_cast<size_t> (size));
  if (draw_early ())
    land (copy);
  else
    started[current->rank].push_back (copy);
}

static void
wait_for_started_copies ()
{
  for (const Copy &copy : started[current->rank])
    land (copy);
  started[current->rank].clear ();
}

void
check_copies (int rank)
{
  if (!started[rank].empty ())
    fail ("a thread ends and has not waited for a cp.async of its own", started[rank].front ().site);
}

} /* namespace emulator */

void
emulated_cp_async (void *shared, const void *global, int size, int valid, emulator::Site site)
{
  emulator::start_copy (shared, global, size, valid, site);
}

void
emulated_cp_async_wait_all ()
{
  emulator::wait_for_started_copies ();
}
