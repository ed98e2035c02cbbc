/* emulator.cpp — blocks, the order of their threads, and barriers
 *
 * A thread is started on any stack that is free, and a stack whose thread has ended takes the next
 * one, so a kernel without barriers runs on a single stack. A thread that must wait hands the
 * processor straight to the next that can run; the last to arrive at a barrier opens it and goes on.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "emulator.h"

#include "fiber.h"

#include <mutex>
#include <stdio.h>

namespace emulator
{

static constexpr size_t max_static_shared = 48 * 1024;
static constexpr size_t max_arguments = 4096;

enum class State : uint8_t
{
  ready,
  at_warp,
  at_block,
  done,
};

struct Work : Thread
{
  Fiber *fiber;     /* nullptr: not started */
  State state;
  Kind kind;
  bool predicate;
  unsigned mask;
  Site site;
  void *operand;
  void (*together) (unsigned mask, void *const operands[warp_size], Site site);
};

struct Warp
{
  unsigned lanes;    /* that there are */
  unsigned waiting;
  unsigned done;
};

struct Range
{
  const char *memory;
  size_t size;
};

Thread *current;
uint3 block_index;
dim3 block_size, grid_size;

/* All of this belongs to the one grid that runs. */
static std::mutex running;
static const Launch *launched;
static void (*run_body) (void *data);
static void *body_data;
static Work works[max_threads];
static Warp warps[max_threads / warp_size];
static int n_threads, n_done, n_at_block, n_true, last_count;
static unsigned long block_number, n_switches;

/* Threads that can run, first one first; each is in it at most once. */
static Work *queue[max_threads];
static unsigned queue_first, queue_length;

static Fiber *grid_fiber, *running_fiber;
static Fiber *idle[max_threads];
static int n_idle;
static Work *starting;   /* what an idle fiber does when it wakes */

static char *dynamic_memory;
static Range shared_ranges[64];
static int n_shared_ranges;
static size_t static_shared;

static unsigned order = ascending;
static uint32_t random_state;

unsigned long
count_switches ()
{
  return n_switches;
}

static unsigned
random_below (unsigned limit)
{
  random_state = random_state * 1664525 + 1013904223;
  return static_cast<unsigned> (static_cast<uint64_t> (random_state) * limit >> 32);
}

/* ---- reports ---- */

static void
print_run (int first, int last)
{
  const Work &work = works[first];

  fprintf (stderr, first == last ? "  thread %d" : "  threads %d to %d", first, last);
  if (work.state == State::done)
    fprintf (stderr, " ended\n");
  else if (work.state == State::ready)
    fprintf (stderr, work.fiber == nullptr ? " not started\n" : " can run\n");
  else if (work.state == State::at_block)
    fprintf (stderr, " at a barrier of the block, %s:%d\n", work.site.file, work.site.line);
  else
    fprintf (stderr, " at a call of the warp, mask %08x, %s:%d\n", work.mask, work.site.file, work.site.line);
}

void
fail (const char *why, Site site)
{
  int first = 0;

  fflush (stdout);
  fprintf (stderr, "emulator: %s:%d: %s\n  kernel %s, block %u %u %u", site.file, site.line, why, launched->name,
           block_index.x, block_index.y, block_index.z);
  if (current != nullptr)
    fprintf (stderr, ", thread %d", current->rank);
  fprintf (stderr, "\n");
  for (int i = 1; i <= n_threads; i++)
    if (i == n_threads || works[i].state != works[first].state || works[i].site.line != works[first].site.line ||
        (works[i].state == State::at_warp && works[i].mask != works[first].mask))
      {
        print_run (first, i - 1);
        first = i;
      }
  abort ();
}

void
refuse_argument (const char *kernel, int argument, const void *value)
{
  fprintf (stderr, "emulator: argument %d of kernel %s is %p, which is not in device memory\n", argument, kernel, value);
  abort ();
}

/* ---- who runs next ---- */

static void
append (Work *work)
{
  queue[(queue_first + queue_length++) % max_threads] = work;
}

static void
prepend (Work *work)
{
  queue_first = (queue_first + max_threads - 1) % max_threads;
  queue_length++;
  queue[queue_first] = work;
}

static Work *
take ()
{
  Work *work;

  if (queue_length == 0)
    return nullptr;
  work = queue[queue_first];
  queue_first = (queue_first + 1) % max_threads;
  queue_length--;
  return work;
}

/* The @i-th of @n to be queued. In a random order that is a rotation, of either direction, whose
 * @start was drawn before. */
static int
in_order (int i, int n, unsigned start)
{
  if (order == ascending)
    return i;
  if (order == descending)
    return n - 1 - i;
  i = static_cast<int> ((static_cast<unsigned> (i) + start / 2) % static_cast<unsigned> (n));
  return start & 1 ? n - 1 - i : i;
}

static unsigned
draw_start (int n)
{
  return order < first_seed ? 0 : random_below (2 * static_cast<unsigned> (n));
}

bool
draw_early ()
{
  return order >= first_seed && random_below (2) == 0;
}

static void
go_to (Fiber *to)
{
  Fiber *from = running_fiber;

  n_switches++;
  running_fiber = to;
  fiber_switch (from, to);
}

static void work_on_threads ();

/* Hands over to @next, or back to the grid where all have ended. */
static void
hand_over (Work *next)
{
  if (next == nullptr)
    {
      if (n_done < n_threads)
        fail ("no thread can go on: they wait for each other", works[0].site);
      current = nullptr;
      go_to (grid_fiber);
    }
  else if (next->fiber != nullptr)
    {
      current = next;
      go_to (next->fiber);
    }
  else
    {
      starting = next;
      go_to (n_idle > 0 ? idle[--n_idle] : fiber_new (work_on_threads));
    }
}

/* Waits until somebody has put the running thread into the queue and its turn has come. */
static void
wait ()
{
  hand_over (take ());
}

/* ---- barriers ---- */

static void
open_block_barrier ()
{
  const unsigned start = draw_start (n_threads);

  n_at_block = 0;
  last_count = n_true;
  n_true = 0;
  for (int i = 0; i < n_threads; i++)
    {
      Work *work = &works[in_order (i, n_threads, start)];

      if (work->state != State::at_block)
        continue;
      work->state = State::ready;
      if (work != current)
        append (work);
    }
}

int
wait_and_count (bool predicate, Site site)
{
  Work *me = static_cast<Work *> (current);
  static Site first;

  if (n_at_block == 0)
    first = site;
  me->state = State::at_block;
  me->site = site;
  n_true += predicate;
  if (first.line != site.line || strcmp (first.file, site.file) != 0)
    fail ("the threads of a block are at different barriers", site);
  if (++n_at_block == n_threads - n_done)
    open_block_barrier ();
  else
    wait ();
  return last_count;
}

void
wait_for_block (Site site)
{
  wait_and_count (false, site);
}

/* All lanes of @mask that still run have come: they do what they came for. */
static void
open_warp_barrier (int number, unsigned mask)
{
  const int first_rank = number * warp_size, leader = first_rank + __builtin_ctz (mask & warps[number].waiting);
  const unsigned start = draw_start (warp_size);
  const bool in_front = order < first_seed || random_below (2) == 0;
  void *operands[warp_size] = { };

  for (int lane = 0; lane < warp_size; lane++)
    {
      Work *work = &works[first_rank + lane];

      if (!(mask & warps[number].waiting & 1u << lane))
        continue;
      if (work->mask != works[leader].mask || work->kind != works[leader].kind)
        fail ("the lanes of a warp meet in different calls, or with different masks", work->site);
      if ((work->kind == Kind::product || work->kind == Kind::load_matrix) && work->site.line != works[leader].site.line)
        fail ("the lanes of a warp are at different tensor core instructions", work->site);
      operands[lane] = work->operand;
    }
  if (works[leader].together != nullptr)
    works[leader].together (mask, operands, works[leader].site);
  for (int i = 0; i < warp_size; i++)
    {
      /* What is put in front last runs first. */
      const int lane = in_order (in_front ? warp_size - 1 - i : i, warp_size, start);
      Work *work = &works[first_rank + lane];

      if (!(mask & warps[number].waiting & 1u << lane))
        continue;
      work->state = State::ready;
      if (work == current)
        continue;
      if (in_front)
        prepend (work);
      else
        append (work);
    }
  warps[number].waiting &= ~mask;
}

void
wait_for_warp (Kind kind, unsigned mask, void *operand,
               void (*together) (unsigned mask, void *const operands[warp_size], Site site), Site site)
{
  Work *me = static_cast<Work *> (current);
  const int number = me->rank / warp_size;
  Warp *warp = &warps[number];

  if (!(mask >> me->lane & 1))
    fail ("a lane is not in the mask that it names", site);
  mask &= warp->lanes;
  me->state = State::at_warp;
  me->kind = kind;
  me->mask = mask;
  me->site = site;
  me->operand = operand;
  me->together = together;
  warp->waiting |= 1u << me->lane;
  if ((warp->waiting & mask) == (mask & ~warp->done))
    open_warp_barrier (number, mask);
  else
    wait ();
}

/* The running thread has ended: others may have waited for nobody else. */
static void
end_thread (Work *me)
{
  Warp *warp = &warps[me->rank / warp_size];

  check_copies (me->rank);
  me->state = State::done;
  n_done++;
  warp->done |= 1u << me->lane;
  for (unsigned left = warp->waiting; left != 0; left &= left - 1)
    {
      const unsigned mask = works[me->rank / warp_size * warp_size + __builtin_ctz (left)].mask;

      if ((warp->waiting & mask) == (mask & ~warp->done) && (warp->waiting & left & -left) != 0)
        open_warp_barrier (me->rank / warp_size, mask);
    }
  if (n_at_block > 0 && n_at_block == n_threads - n_done)
    open_block_barrier ();
}

/* ---- blocks ---- */

/* A fiber's whole life: one thread after the other. */
static void
work_on_threads ()
{
  fiber_started ();
  for (;;)
    {
      Work *me = starting, *next;

      me->fiber = running_fiber;
      current = me;
      run_body (body_data);
      end_thread (me);
      next = take ();
      if (next != nullptr && next->fiber == nullptr)
        {
          starting = next;
          continue;
        }
      idle[n_idle++] = running_fiber;
      hand_over (next);
    }
}

static void
begin_block ()
{
  const unsigned start = draw_start (n_threads);
  const int n_warps = (n_threads + warp_size - 1) / warp_size;

  block_number++;
  n_shared_ranges = 0;
  static_shared = 0;
  if (dynamic_memory != nullptr)
    {
      memset (dynamic_memory, 0xff, launched->dynamic_shared);
      shared_ranges[n_shared_ranges++] = { dynamic_memory, launched->dynamic_shared };
    }
  n_done = n_at_block = n_true = 0;
  queue_first = queue_length = 0;
  for (int i = 0; i < n_warps; i++)
    {
      const int n_lanes = std::min (n_threads - i * warp_size, warp_size);

      warps[i] = { n_lanes == warp_size ? full_warp : (1u << n_lanes) - 1, 0, 0 };
    }
  for (int i = 0; i < n_threads; i++)
    {
      works[i].fiber = nullptr;
      works[i].state = State::ready;
      append (&works[in_order (i, n_threads, start)]);
    }
}

static void
number_threads ()
{
  for (int i = 0; i < n_threads; i++)
    {
      const unsigned rank = static_cast<unsigned> (i);

      works[i].rank = i;
      works[i].lane = i % warp_size;
      works[i].index = { rank % block_size.x, rank / block_size.x % block_size.y, rank / (block_size.x * block_size.y) };
      works[i].site = { "", 0 };
    }
}

cudaError_t
check_launch (const Launch &launch, size_t arguments_size)
{
  const dim3 &grid = launch.grid, &block = launch.block;
  const uint64_t n = static_cast<uint64_t> (block.x) * block.y * block.z;

  if (n == 0 || n > max_threads || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  if (launch.dynamic_shared > fake_cuda_shared_limit (launch.kernel) || arguments_size > max_arguments)
    return cudaErrorInvalidValue;
  return cudaSuccess;
}

void
run_grid (const Launch &launch, void (*body) (void *data), void *data)
{
  const std::lock_guard<std::mutex> lock (running);
  const uint64_t n_blocks = static_cast<uint64_t> (launch.grid.x) * launch.grid.y * launch.grid.z;
  void *memory = nullptr;

  if (grid_fiber == nullptr)
    grid_fiber = fiber_for_thread ();
  if (order != fake_cuda_config ()->order)
    order = random_state = fake_cuda_config ()->order;
  launched = &launch;
  run_body = body;
  body_data = data;
  block_size = launch.block;
  grid_size = launch.grid;
  n_threads = static_cast<int> (block_size.x * block_size.y * block_size.z);
  /* Of exactly the size, so that a sanitizer sees the byte behind it. */
  if (launch.dynamic_shared > 0 && posix_memalign (&memory, 128, launch.dynamic_shared) != 0)
    abort ();
  dynamic_memory = static_cast<char *> (memory);
  number_threads ();
  for (uint64_t i = 0; i < n_blocks; i++)
    {
      const uint64_t at = order == descending ? n_blocks - 1 - i : i;

      block_index = { static_cast<unsigned> (at % grid_size.x), static_cast<unsigned> (at / grid_size.x % grid_size.y),
                      static_cast<unsigned> (at / grid_size.x / grid_size.y) };
      begin_block ();
      running_fiber = grid_fiber;
      hand_over (take ());
    }
  free (dynamic_memory);
  dynamic_memory = nullptr;
}

/* ---- shared memory ---- */

void
use_shared (SharedUse *use, void *memory, size_t size, Site site)
{
  const size_t limit = std::max (fake_cuda_shared_limit (launched->kernel), max_static_shared);

  if (use->block == block_number)
    return;
  use->block = block_number;
  memset (memory, 0xff, size);
  static_shared += size;
  if (static_shared > max_static_shared)
    fail ("a block declares more than 48 KiB of shared memory", site);
  if (static_shared + launched->dynamic_shared > (limit > max_static_shared ? fake_cuda_shared_optin () : limit))
    fail ("a block has more shared memory than it was allowed, declared and dynamic together", site);
  if (n_shared_ranges == static_cast<int> (std::size (shared_ranges)))
    fail ("a kernel has more declarations of shared memory than the emulator can note", site);
  shared_ranges[n_shared_ranges++] = { static_cast<const char *> (memory), size };
}

void *
dynamic_shared ()
{
  return dynamic_memory;
}

bool
is_shared (const void *memory, size_t size)
{
  const uintptr_t at = reinterpret_cast<uintptr_t> (memory);

  for (int i = 0; i < n_shared_ranges; i++)
    {
      const uintptr_t first = reinterpret_cast<uintptr_t> (shared_ranges[i].memory);

      if (at >= first && size <= shared_ranges[i].size && at - first <= shared_ranges[i].size - size)
        return true;
    }
  return false;
}

} /* namespace emulator */
