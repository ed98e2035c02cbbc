/* fake-nccl.h — steers the NCCL that is none
 *
 * fake-nccl.c is a library of its own with the calls that the backend looks up in libnccl.so.2. Its ranks are
 * threads of one process, its devices' memory is the process' memory: what is sent is copied when the other rank asks for
 * it. Who waits longer than FAKE_NCCL_PATIENCE milliseconds for a rank that does not come gets what the real
 * one reports of a lost process, and later than the call that waited for it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#define FAKE_NCCL_PATIENCE 1500

/* The @call-th call from now (the next is 1) of any rank fails; 0: none. */
typedef void          (*FakeNcclFailAt)     (unsigned long call);
/* Calls since the last fake_nccl_fail_at(). */
typedef unsigned long (*FakeNcclCountCalls) (void);
/* Communicators that were begun and neither destroyed nor aborted. */
typedef unsigned      (*FakeNcclCountComms) (void);
