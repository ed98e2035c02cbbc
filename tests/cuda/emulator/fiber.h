/* fiber.h — stacks that take turns on one thread
 *
 * On x86-64 a switch is a few instructions; elsewhere, or with -DEMULATOR_UCONTEXT, it is
 * swapcontext(), which makes a system call. AddressSanitizer is told of every switch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <stddef.h>

namespace emulator
{

struct Fiber;

/* A fiber that has not begun; its first switch calls @entry, which never returns. Fibers last until the process ends. */
Fiber *fiber_new (void (*entry) ());
/* The thread's own stack as a fiber. */
Fiber *fiber_for_thread ();
/* Leaves @from, which is running, and goes on with @to. */
void fiber_switch (Fiber *from, Fiber *to);
/* First thing that entry does. */
void fiber_started ();

} /* namespace emulator */
