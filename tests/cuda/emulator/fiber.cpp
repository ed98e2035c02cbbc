/* SPDX-License-Identifier: Apache-2.0 */
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_UCONTEXT
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator
{

/* Kernels keep little on their stacks; a sanitizer's frames are several times as large. */
#ifdef FIBER_ASAN
static constexpr size_t stack_size = 512 * 1024;
#else
static constexpr size_t stack_size = 128 * 1024;
#endif

struct Fiber
{
#ifdef EMULATOR_UCONTEXT
  ucontext_t context;
#else
  void *top;           /* of its stack while it waits; the registers are there */
#endif
#ifdef FIBER_ASAN
  void *fake_stack;
  const void *bottom;  /* as the sanitizer wants to know them */
  size_t size;
#endif
};

#ifdef FIBER_ASAN
static Fiber *left;     /* the fiber that the last switch came from */
#endif

/* A stack above a page that nobody may touch. */
static char *
new_stack ()
{
  const size_t page = static_cast<size_t> (sysconf (_SC_PAGESIZE));
  char *memory = static_cast<char *> (mmap (nullptr, page + stack_size, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

  if (memory == MAP_FAILED || mprotect (memory, page, PROT_NONE) != 0)
    {
      perror ("emulator: a stack");
      abort ();
    }
  return memory + page;
}

#ifndef EMULATOR_UCONTEXT
/* Saves what a function call must preserve, notes the stack in *from and takes that of @to, whose
 * registers lie on it in the same order. */
extern "C" void emulator_switch_stacks (void **from, void *to);
__asm__ (
  ".pushsection .text\n"
  ".local emulator_switch_stacks\n"
  ".type emulator_switch_stacks, @function\n"
  "emulator_switch_stacks:\n"
  "  pushq %rbp\n"
  "  pushq %rbx\n"
  "  pushq %r12\n"
  "  pushq %r13\n"
  "  pushq %r14\n"
  "  pushq %r15\n"
  "  movq %rsp, (%rdi)\n"
  "  movq %rsi, %rsp\n"
  "  popq %r15\n"
  "  popq %r14\n"
  "  popq %r13\n"
  "  popq %r12\n"
  "  popq %rbx\n"
  "  popq %rbp\n"
  "  ret\n"
  ".size emulator_switch_stacks, . - emulator_switch_stacks\n"
  ".popsection\n");

static constexpr size_t n_saved_registers = 6;
#endif

Fiber *
fiber_new (void (*entry) ())
{
  Fiber *self = static_cast<Fiber *> (calloc (1, sizeof (Fiber)));
  char *stack = new_stack ();

#ifdef EMULATOR_UCONTEXT
  getcontext (&self->context);
  self->context.uc_stack.ss_sp = stack;
  self->context.uc_stack.ss_size = stack_size;
  makecontext (&self->context, entry, 0);
#else
  void **top = reinterpret_cast<void **> (stack + stack_size);

  /* A function begins with its stack 8 beyond a multiple of 16: there is its return address. */
  *--top = nullptr;
  *--top = reinterpret_cast<void *> (entry);
  for (size_t i = 0; i < n_saved_registers; i++)
    *--top = nullptr;
  self->top = top;
#endif
#ifdef FIBER_ASAN
  self->bottom = stack;
  self->size = stack_size;
#endif
  return self;
}

Fiber *
fiber_for_thread ()
{
  return static_cast<Fiber *> (calloc (1, sizeof (Fiber)));
}

/* Arrived on another stack: tells the sanitizer, which tells where we came from. */
static void
arrived (void *fake_stack)
{
#ifdef FIBER_ASAN
  const void *bottom;
  size_t size;

  __sanitizer_finish_switch_fiber (fake_stack, &bottom, &size);
  if (left->bottom == nullptr)
    {
      left->bottom = bottom;
      left->size = size;
    }
#else
  (void) fake_stack;
#endif
}

void
fiber_started ()
{
  arrived (nullptr);
}

void
fiber_switch (Fiber *from, Fiber *to)
{
#ifdef FIBER_ASAN
  left = from;
  __sanitizer_start_switch_fiber (&from->fake_stack, to->bottom, to->size);
#endif
#ifdef EMULATOR_UCONTEXT
  swapcontext (&from->context, &to->context);
#else
  emulator_switch_stacks (&from->top, to->top);
#endif
#ifdef FIBER_ASAN
  arrived (from->fake_stack);
#else
  arrived (nullptr);
#endif
}

} /* namespace emulator */
