/* The machine: one step of the pickle at a time, on a stack of nodes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-pickle-private.h"

#include "core/base/dimr-i18n.h"

#include <string.h>

#define MAX_SIZE (64 << 20)
#define MAX_STEPS 5000000
#define MAX_SLOTS 1000000
#define MAX_STRING (64 << 10)
#define MAX_NAME 256

/* The steps that torch.save() writes in protocols 2 to 5; every other one refuses the file. */
enum
{
  OP_MARK = '(', OP_STOP = '.', OP_PROTO = 0x80, OP_FRAME = 0x95,
  OP_NONE = 'N', OP_TRUE = 0x88, OP_FALSE = 0x89,
  OP_BININT = 'J', OP_BININT1 = 'K', OP_BININT2 = 'M', OP_LONG1 = 0x8a, OP_BINFLOAT = 'G',
  OP_BINUNICODE = 'X', OP_SHORT_BINUNICODE = 0x8c, OP_SHORT_BINSTRING = 'U',
  OP_EMPTY_TUPLE = ')', OP_TUPLE = 't', OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87,
  OP_EMPTY_LIST = ']', OP_APPEND = 'a', OP_APPENDS = 'e',
  OP_EMPTY_DICT = '}', OP_SETITEM = 's', OP_SETITEMS = 'u',
  OP_BINPUT = 'q', OP_LONG_BINPUT = 'r', OP_MEMOIZE = 0x94, OP_BINGET = 'h', OP_LONG_BINGET = 'j',
  OP_GLOBAL = 'c', OP_STACK_GLOBAL = 0x93, OP_REDUCE = 'R', OP_NEWOBJ = 0x81, OP_BUILD = 'b',
  OP_BINPERSID = 'Q',
};

typedef struct
{
  DimrPickle *p;
  gsize size, at, step; /* @step: where the step began; @at: what is read next */
  DimrPickleArray stack, memo; /* DimrPickleNode */
  DimrPickleArray marks;       /* guint32: heights of the stack */
  guint32 n_memoized;
  gboolean done;
} Machine;

#define REFUSE(m, ...) DIMR_PICKLE_REFUSE ((m)->p, (m)->step, __VA_ARGS__)

/* --- Bytes and the stack --- */

static gboolean
take (Machine       *m,
      gsize          n,
      const guint8 **out)
{
  if (n > m->size - m->at)
    return REFUSE (m, _("the list of tensors is cut off"));
  *out = m->p->data + m->at;
  m->at += n;
  return TRUE;
}

/* A little-endian number of @n <= 8 bytes. */
static gboolean
take_number (Machine *m,
             gsize    n,
             guint64 *out)
{
  const guint8 *bytes;

  if (!take (m, n, &bytes))
    return FALSE;
  *out = 0;
  for (gsize i = 0; i < n; i++)
    *out |= (guint64) bytes[i] << 8 * i;
  return TRUE;
}

static gboolean
push (Machine       *m,
      DimrPickleNode node)
{
  DimrPickleNode *slot;

  if (node == 0)
    return FALSE;
  if (m->stack.length == MAX_SLOTS)
    return REFUSE (m, _("it needs a stack of more than %d items"), MAX_SLOTS);
  slot = dimr_pickle_array_add (&m->stack, sizeof *slot);
  if (slot == NULL)
    return REFUSE (m, _("memory does not suffice for its table of contents"));
  *slot = node;
  return TRUE;
}

static guint32
floor_of_stack (Machine *m)
{
  return m->marks.length > 0 ? ((guint32 *) m->marks.data)[m->marks.length - 1] : 0;
}

/* The @n topmost items above the last mark, from the bottom up; they stay on the stack. */
static DimrPickleNode *
peek (Machine *m,
      guint    n)
{
  if (m->stack.length - floor_of_stack (m) < n)
    {
      REFUSE (m, _("a step finds its stack empty"));
      return NULL;
    }
  return (DimrPickleNode *) m->stack.data + m->stack.length - n;
}

static gboolean
pop_mark (Machine *m,
          guint32 *height)
{
  if (m->marks.length == 0)
    return REFUSE (m, _("a step finds no mark on its stack"));
  *height = ((guint32 *) m->marks.data)[--m->marks.length];
  return TRUE;
}

/* --- Scalars and text --- */

static gboolean
push_int (Machine *m,
          gint64   value)
{
  DimrPickleNode node = dimr_pickle_new (m->p, DIMR_PICKLE_INT, m->step);

  if (node == 0)
    return FALSE;
  dimr_pickle_data (m->p, node)->u.integer = value;
  return push (m, node);
}

static gboolean
push_bool (Machine *m,
           gboolean value)
{
  DimrPickleNode node = dimr_pickle_new (m->p, DIMR_PICKLE_BOOL, m->step);

  if (node == 0)
    return FALSE;
  dimr_pickle_data (m->p, node)->u.integer = value;
  return push (m, node);
}

/* Two's complement of up to eight bytes. */
static gboolean
op_long1 (Machine *m)
{
  guint64 n, bits;

  if (!take_number (m, 1, &n))
    return FALSE;
  if (n > 8)
    return REFUSE (m, _("a number is larger than 64 bits"));
  if (!take_number (m, n, &bits))
    return FALSE;
  if (n > 0 && n < 8 && bits >> (8 * n - 1) != 0)
    bits |= ~G_GUINT64_CONSTANT (0) << 8 * n;
  return push_int (m, (gint64) bits);
}

static gboolean
op_text (Machine *m,
         gsize    n_length,
         gboolean may_be_bytes)
{
  DimrPickleNode node;
  const guint8 *text;
  guint64 length;
  gboolean valid;

  if (!take_number (m, n_length, &length))
    return FALSE;
  if (length > MAX_STRING)
    return REFUSE (m, _("a text claims %" PRIu64 " bytes, over the limit of %d"), length, MAX_STRING);
  if (!take (m, length, &text))
    return FALSE;
  valid = g_utf8_validate_len ((const char *) text, length, NULL);
  if (!valid && !may_be_bytes)
    return REFUSE (m, _("a text is not UTF-8"));
  node = dimr_pickle_new (m->p, valid ? DIMR_PICKLE_STRING : DIMR_PICKLE_BYTES, m->step);
  if (node == 0)
    return FALSE;
  dimr_pickle_data (m->p, node)->u.text.start = (guint32) (m->at - length);
  dimr_pickle_data (m->p, node)->u.text.length = (guint32) length;
  return push (m, node);
}

/* --- Containers --- */

static gboolean
op_mark (Machine *m)
{
  guint32 *slot;

  if (m->marks.length == MAX_SLOTS)
    return REFUSE (m, _("it needs a stack of more than %d items"), MAX_SLOTS);
  slot = dimr_pickle_array_add (&m->marks, sizeof *slot);
  if (slot == NULL)
    return REFUSE (m, _("memory does not suffice for its table of contents"));
  *slot = m->stack.length;
  return TRUE;
}

/* A tuple of what lies above @height. */
static gboolean
op_tuple (Machine *m,
          guint32  height)
{
  DimrPickleNode tuple = dimr_pickle_new (m->p, DIMR_PICKLE_TUPLE, m->step);

  if (tuple == 0)
    return FALSE;
  for (guint32 i = height; i < m->stack.length; i++)
    if (!dimr_pickle_append (m->p, tuple, 0, ((DimrPickleNode *) m->stack.data)[i], m->step))
      return FALSE;
  m->stack.length = height;
  return push (m, tuple);
}

static gboolean
op_tuple_of (Machine *m,
             guint    n)
{
  return peek (m, n) != NULL && op_tuple (m, m->stack.length - n);
}

/* Adds what lies above @height to the container directly below it. */
static gboolean
add_items (Machine *m,
           guint32  height,
           gboolean to_dict)
{
  const DimrPickleNode *stack = m->stack.data;
  DimrPickleNode container;

  if (height <= floor_of_stack (m))
    return REFUSE (m, _("a step finds its stack empty"));
  container = stack[height - 1];
  if (to_dict ? !dimr_pickle_is_dict (m->p, container) : dimr_pickle_kind (m->p, container) != DIMR_PICKLE_LIST)
    return REFUSE (m, to_dict ? _("it adds items to what is no dictionary") : _("it adds items to what is no list"));
  if (to_dict && (m->stack.length - height) % 2 != 0)
    return REFUSE (m, _("it sets a key without a value"));
  for (guint32 i = height; i < m->stack.length; i += to_dict ? 2 : 1)
    {
      DimrPickleNode key = to_dict ? stack[i] : 0, value = stack[to_dict ? i + 1 : i];
      DimrPickleKind kind = to_dict ? dimr_pickle_kind (m->p, key) : DIMR_PICKLE_NONE;

      if (to_dict && kind != DIMR_PICKLE_STRING && kind != DIMR_PICKLE_INT &&
          !(kind == DIMR_PICKLE_GLOBAL && dimr_pickle_data (m->p, key)->name == DIMR_PICKLE_NAME_OPAQUE))
        return REFUSE (m, _("a dictionary has a key that is neither text nor a number"));
      if (!dimr_pickle_append (m->p, container, key, value, m->step))
        return FALSE;
    }
  m->stack.length = height;
  return TRUE;
}

/* --- Memory --- */

static gboolean
op_put (Machine *m,
        guint64  slot)
{
  const DimrPickleNode *top = peek (m, 1);

  if (top == NULL)
    return FALSE;
  if (slot >= MAX_SLOTS)
    return REFUSE (m, _("it needs more than %d memory slots"), MAX_SLOTS);
  while (m->memo.length <= slot)
    {
      DimrPickleNode *new_slot = dimr_pickle_array_add (&m->memo, sizeof *new_slot);

      if (new_slot == NULL)
        return REFUSE (m, _("memory does not suffice for its table of contents"));
      *new_slot = 0;
    }
  if (((DimrPickleNode *) m->memo.data)[slot] == 0)
    m->n_memoized++;
  ((DimrPickleNode *) m->memo.data)[slot] = *top;
  return TRUE;
}

static gboolean
op_get (Machine *m,
        guint64  slot)
{
  if (slot >= m->memo.length || ((DimrPickleNode *) m->memo.data)[slot] == 0)
    return REFUSE (m, _("it recalls memory slot %" PRIu64 ", which it never set"), slot);
  return push (m, ((DimrPickleNode *) m->memo.data)[slot]);
}

static gboolean
op_numbered (Machine  *m,
             gsize     n_bytes,
             gboolean (*op) (Machine *, guint64))
{
  guint64 slot;

  return take_number (m, n_bytes, &slot) && op (m, slot);
}

/* --- Names and what is made of them --- */

static gboolean
take_line (Machine     *m,
           const char **line,
           gsize       *length)
{
  const guint8 *start = m->p->data + m->at;
  const guint8 *end = memchr (start, '\n', MIN (m->size - m->at, MAX_NAME + 1));

  if (end == NULL)
    return REFUSE (m, _("a name is too long or cut off"));
  *line = (const char *) start;
  *length = (gsize) (end - start);
  m->at += *length + 1;
  return TRUE;
}

static gboolean
op_global (Machine *m)
{
  const char *module, *name;
  gsize n_module, n_name;

  return take_line (m, &module, &n_module) && take_line (m, &name, &n_name) &&
         push (m, dimr_pickle_find_name (m->p, module, n_module, name, n_name, m->step));
}

static gboolean
op_stack_global (Machine *m)
{
  const DimrPickleNode *top = peek (m, 2);
  const char *module, *name;
  gsize n_module, n_name;

  if (top == NULL)
    return FALSE;
  if (dimr_pickle_kind (m->p, top[0]) != DIMR_PICKLE_STRING || dimr_pickle_kind (m->p, top[1]) != DIMR_PICKLE_STRING)
    return REFUSE (m, _("a name is not text"));
  module = dimr_pickle_peek_text (m->p, top[0], &n_module);
  name = dimr_pickle_peek_text (m->p, top[1], &n_name);
  m->stack.length -= 2;
  return push (m, dimr_pickle_find_name (m->p, module, n_module, name, n_name, m->step));
}

/* Steps that take a callee and its arguments and leave what was made. */
static gboolean
op_call (Machine        *m,
         DimrPickleNode (*call) (DimrPickle *, DimrPickleNode, DimrPickleNode, gsize))
{
  const DimrPickleNode *top = peek (m, 2);

  if (top == NULL)
    return FALSE;
  m->stack.length -= 2;
  return push (m, call (m->p, top[0], top[1], m->step));
}

static gboolean
op_build (Machine *m)
{
  const DimrPickleNode *top = peek (m, 2);

  if (top == NULL || !dimr_pickle_build (m->p, top[0], top[1], m->step))
    return FALSE;
  m->stack.length--;
  return TRUE;
}

static gboolean
op_persistent (Machine *m)
{
  const DimrPickleNode *top = peek (m, 1);

  if (top == NULL)
    return FALSE;
  m->stack.length--;
  return push (m, dimr_pickle_load_storage (m->p, *top, m->step));
}

static gboolean
op_stop (Machine *m)
{
  if (m->marks.length != 0 || m->stack.length != 1)
    return REFUSE (m, _("it ends with something left over"));
  m->p->root = *(DimrPickleNode *) m->stack.data;
  m->done = TRUE;
  return TRUE;
}

static gboolean
op_frame (Machine *m)
{
  guint64 length;

  if (!take_number (m, 8, &length))
    return FALSE;
  return length <= m->size - m->at || REFUSE (m, _("the list of tensors is cut off"));
}

static gboolean
op_number (Machine *m,
           gsize    n_bytes)
{
  guint64 bits;

  if (!take_number (m, n_bytes, &bits))
    return FALSE;
  return push_int (m, n_bytes == 4 ? (gint32) (guint32) bits : (gint64) bits);
}

static gboolean
op_float (Machine *m)
{
  const guint8 *bytes;

  /* No number of a training program is used; that it is there is enough. */
  return take (m, 8, &bytes) && push (m, dimr_pickle_new (m->p, DIMR_PICKLE_FLOAT, m->step));
}

static gboolean
op_from_mark (Machine *m,
              guint8   op)
{
  guint32 height;

  if (!pop_mark (m, &height))
    return FALSE;
  return op == OP_TUPLE ? op_tuple (m, height) : add_items (m, height, op == OP_SETITEMS);
}

static gboolean
op_add (Machine *m,
        guint    n)
{
  return peek (m, n + 1) != NULL && add_items (m, m->stack.length - n, n == 2);
}

static gboolean
run_step (Machine *m,
          guint8   op)
{
  switch (op)
    {
    case OP_MARK: return op_mark (m);
    case OP_STOP: return op_stop (m);
    case OP_FRAME: return op_frame (m);
    case OP_NONE: return push (m, dimr_pickle_new (m->p, DIMR_PICKLE_NONE, m->step));
    case OP_TRUE: return push_bool (m, TRUE);
    case OP_FALSE: return push_bool (m, FALSE);
    case OP_BININT: return op_number (m, 4);
    case OP_BININT1: return op_number (m, 1);
    case OP_BININT2: return op_number (m, 2);
    case OP_LONG1: return op_long1 (m);
    case OP_BINFLOAT: return op_float (m);
    case OP_BINUNICODE: return op_text (m, 4, FALSE);
    case OP_SHORT_BINUNICODE: return op_text (m, 1, FALSE);
    case OP_SHORT_BINSTRING: return op_text (m, 1, TRUE);
    case OP_EMPTY_TUPLE: return push (m, dimr_pickle_new (m->p, DIMR_PICKLE_TUPLE, m->step));
    case OP_TUPLE1: return op_tuple_of (m, 1);
    case OP_TUPLE2: return op_tuple_of (m, 2);
    case OP_TUPLE3: return op_tuple_of (m, 3);
    case OP_EMPTY_LIST: return push (m, dimr_pickle_new (m->p, DIMR_PICKLE_LIST, m->step));
    case OP_EMPTY_DICT: return push (m, dimr_pickle_new (m->p, DIMR_PICKLE_DICT, m->step));
    case OP_APPEND: return op_add (m, 1);
    case OP_SETITEM: return op_add (m, 2);
    case OP_TUPLE:
    case OP_APPENDS:
    case OP_SETITEMS: return op_from_mark (m, op);
    case OP_BINPUT: return op_numbered (m, 1, op_put);
    case OP_LONG_BINPUT: return op_numbered (m, 4, op_put);
    case OP_MEMOIZE: return op_put (m, m->n_memoized);
    case OP_BINGET: return op_numbered (m, 1, op_get);
    case OP_LONG_BINGET: return op_numbered (m, 4, op_get);
    case OP_GLOBAL: return op_global (m);
    case OP_STACK_GLOBAL: return op_stack_global (m);
    case OP_REDUCE: return op_call (m, dimr_pickle_call);
    case OP_NEWOBJ: return op_call (m, dimr_pickle_new_object);
    case OP_BUILD: return op_build (m);
    case OP_BINPERSID: return op_persistent (m);
    default:
      return REFUSE (m, _("its list of tensors has a step (0x%02x) that weights never need; nothing was run"), op);
    }
}

static gboolean
run (Machine *m)
{
  const guint8 *op;

  if (!take (m, 2, &op))
    return FALSE;
  if (op[0] != OP_PROTO || op[1] < 2 || op[1] > 5)
    return REFUSE (m, _("its list of tensors is no pickle of protocol 2 to 5"));
  for (guint n = 0; !m->done; n++)
    {
      m->step = m->at;
      if (n == MAX_STEPS)
        return REFUSE (m, _("its list of tensors takes more than %d steps"), MAX_STEPS);
      if (!take (m, 1, &op) || !run_step (m, *op))
        return FALSE;
    }
  return TRUE;
}

DimrPickle *
dimr_pickle_parse (const guint8 *data,
                   gsize         size,
                   guint64       base,
                   const char   *file,
                   gsize        *n_used,
                   GError      **error)
{
  g_autoptr (DimrPickle) self = g_new0 (DimrPickle, 1);
  Machine m = { .p = self, .size = size };
  gboolean ok;

  self->data = data;
  self->base = base;
  self->file = file;
  self->error = error;
  if (n_used != NULL)
    m.size = MIN (size, MAX_SIZE);
  if (m.size > MAX_SIZE)
    return dimr_refuse (error, file, base, _("its list of tensors is larger than 64 MiB")), NULL;
  ok = run (&m);
  if (ok && n_used == NULL && m.at != m.size)
    ok = dimr_refuse (error, file, base + m.at, _("something follows its list of tensors"));
  ok = ok && dimr_pickle_check_keys (self);
  g_free (m.stack.data);
  g_free (m.memo.data);
  g_free (m.marks.data);
  self->file = NULL;
  self->error = NULL;
  if (!ok)
    return NULL;
  if (n_used != NULL)
    *n_used = m.at;
  return g_steal_pointer (&self);
}
