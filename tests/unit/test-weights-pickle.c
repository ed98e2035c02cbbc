/* Pickles that ask for what weights never need. Each is otherwise sound, so that the one rule that
 * it breaks is the one that refuses it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "weights-builder.h"

typedef struct
{
  const char *pickle;
  gsize size;
  const char *reason;
} Case;

#define CASE(pickle, reason) { pickle, sizeof pickle - 1, reason }

static void
refuse_all (const Case *cases,
            guint       n)
{
  for (guint i = 0; i < n; i++)
    {
      g_test_message ("case %u", i);
      assert_refused_for (archive_for_pickle (cases[i].pickle, cases[i].size), cases[i].reason);
    }
}

#define REFUSE_ALL(cases) refuse_all ((cases), G_N_ELEMENTS (cases))

static void
assert_w_is_1234 (DimrWeights *weights)
{
  DimrTensor *w = dimr_weights_peek (weights, "w");

  g_assert_nonnull (w);
  g_assert_cmpmem (dimr_tensor_peek_data (w), dimr_tensor_get_n_bytes (w), builder_floats, sizeof builder_floats);
}

static void
test_sound_pickle_is_read (void)
{
  static const char plain[] = PROTO "}(" KEY_W TENSOR "u.";
  g_autoptr (DimrWeights) weights = open_made (archive_for_pickle (plain, sizeof plain - 1));

  g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, 1);
  assert_w_is_1234 (weights);
}

static void
test_items_go_into_containers_only (void)
{
  static const Case cases[] = {
    CASE (PROTO "]K\1K\2s.", "no dictionary"),
    CASE (PROTO ")K\1K\2s.", "no dictionary"),
    CASE (PROTO KEY_W "K\1K\2s.", "no dictionary"),
    CASE (PROTO TENSOR "K\1K\2s.", "no dictionary"),
    CASE (PROTO STORAGE "K\1K\2s.", "no dictionary"),
    CASE (PROTO "ctorch\nFloatStorage\nK\1K\2s.", "no dictionary"),
    CASE (PROTO "cargparse\nNamespace\n)\x81K\1K\2s.", "no dictionary"),
    CASE (PROTO "](K\1K\2u.", "no dictionary"),
    CASE (PROTO "}(K\1u.", "key without a value"),
    CASE (PROTO "}K\1a.", "no list"),
    CASE (PROTO ")(K\1e.", "no list"),
    CASE (PROTO TENSOR "(K\1e.", "no list"),
    CASE (PROTO "(K\1e.", "stack empty"),
    CASE (PROTO "}(K\1K\2s.", "stack empty"),
    CASE (PROTO "](K\1a.", "stack empty"),
  };

  REFUSE_ALL (cases);
}

static void
test_keys_are_text_or_numbers_and_differ (void)
{
  static const Case cases[] = {
    CASE (PROTO "})K\1s.", "neither text nor a number"),
    CASE (PROTO "}]K\1s.", "neither text nor a number"),
    CASE (PROTO "}NK\1s.", "neither text nor a number"),
    CASE (PROTO "}\x88K\1s.", "neither text nor a number"),
    CASE (PROTO "}G\0\0\0\0\0\0\0\0K\1s.", "neither text nor a number"),
    CASE (PROTO "}" TENSOR "K\1s.", "neither text nor a number"),
    CASE (PROTO "}U\1\xffK\1s.", "neither text nor a number"),
    CASE (PROTO "}(" KEY_W TENSOR KEY_W TENSOR "u.", "the same key twice"),
    CASE (PROTO "}" KEY_W TENSOR "s" KEY_W "Ns.", "the same key twice"),
    CASE (PROTO "}(K\1NJ\1\0\0\0Nu.", "the same key twice"),
    CASE (PROTO "}" KEY_W "}(" KEY_X "N" KEY_W "N" KEY_X "Nus.", "the same key twice"),
    CASE (PROTO "}(U\1wN" KEY_W TENSOR "u.", "the same key twice"),
  };

  REFUSE_ALL (cases);
}

static void
test_memory_is_set_before_it_is_recalled (void)
{
  static const Case cases[] = {
    CASE (PROTO "h\0.", "slot 0, which it never set"),
    CASE (PROTO "Nq\1h\0.", "slot 0, which it never set"),
    CASE (PROTO "Nq\0h\1.", "slot 1, which it never set"),
    CASE (PROTO "Nq\0j\xff\xff\xff\xff.", "never set"),
    CASE (PROTO "Nr\xff\xff\xff\xff.", "memory slots"),
    CASE (PROTO "q\0.", "stack empty"),
    CASE (PROTO "\x94.", "stack empty"),
  };

  REFUSE_ALL (cases);
}

static void
test_calls_have_exact_arguments (void)
{
  static const Case cases[] = {
    CASE (PROTO KEY_W ")R.", "no name"),
    CASE (PROTO "}" ")R.", "no name"),
    CASE (PROTO "ccollections\nOrderedDict\n]R.", "no name"),
    CASE (PROTO "ccollections\nOrderedDict\nK\1\x85R.", "never writes"),
    CASE (PROTO "ctorch\nFloatStorage\n)R.", "never writes"),
    CASE (PROTO "ccollections\nOrderedDict\n)\x81.", "class that weights never have"),
    CASE (PROTO "K\1)\x81.", "class that weights never have"),
    CASE (PROTO REBUILD ")R.", "parts that no tensor has"),
    CASE (PROTO REBUILD "(K\1K\0K\4\x85K\1\x85\x89" HOOKS "tR.", "parts that no tensor has"),
    CASE (PROTO REBUILD "(" STORAGE "K\0K\4\x85K\1\x85\x89" HOOKS "NNtR.", "parts that no tensor has"),
    CASE (PROTO REBUILD "(" STORAGE "K\0K\4\x85K\1\x85K\0" HOOKS "tR.", "parts that no tensor has"),
    CASE (PROTO REBUILD "(" STORAGE "K\0K\4\x85K\1\x85\x89}tR.", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "\x88", "K\4\x85", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "J\xff\xff\xff\xff", "K\4\x85", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "K\4\x85", "J\xff\xff\xff\xff\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "G\0\0\0\0\0\0\0\0\x85", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "]K\4a", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "K\2K\2\x86", "K\1\x85") ".", "parts that no tensor has"),
    CASE (PROTO TENSOR_AT (STORAGE, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\4t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t") ".",
          "parts that no tensor has"),
    CASE (PROTO "ctorch._utils\n_rebuild_parameter\n(K\1\x88" HOOKS "tR.", "parts that no parameter has"),
    CASE (PROTO "ctorch._utils\n_rebuild_parameter\n(" TENSOR "\x88}tR.", "parts that no parameter has"),
  };

  REFUSE_ALL (cases);
}

static void
test_storages_are_storages (void)
{
  static const Case cases[] = {
    CASE (PROTO "NQ.", "no tensor storage"),
    CASE (PROTO ")Q.", "no tensor storage"),
    CASE (PROTO "(X\6\0\0\0modulectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\4tQ.", "no tensor storage"),
    CASE (PROTO "(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0" "0X\3\0\0\0cpuK\4tQ.", "no tensor storage"),
    CASE (PROTO "(X\7\0\0\0storageX\1\0\0\0aX\1\0\0\0" "0X\3\0\0\0cpuK\4tQ.", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("Float", "K\0", "K\4") ".", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("Float", "X\4\0\0\0../0", "K\4") ".", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("Float", "X\0\0\0\0", "K\4") ".", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("Float", "X\1\0\0\0" "0", "J\xff\xff\xff\xff") ".", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("Float", "X\1\0\0\0" "0", "K\4K\1") ".", "no tensor storage"),
    CASE (PROTO STORAGE_OF ("QInt8", "X\1\0\0\0" "0", "K\4") ".", "torch.QInt8Storage"),
  };

  REFUSE_ALL (cases);
}

static void
test_attributes_go_to_ordered_dicts_only (void)
{
  static const Case cases[] = {
    CASE (PROTO "}}b.", "sets attributes"),
    CASE (PROTO "]}b.", "sets attributes"),
    CASE (PROTO TENSOR "}b.", "sets attributes"),
    CASE (PROTO HOOKS "]b.", "sets attributes"),
    CASE (PROTO "ctorch\nFloatStorage\n}b.", "sets attributes"),
    CASE (PROTO "}b.", "stack empty"),
  };

  REFUSE_ALL (cases);
}

static void
test_a_pickle_ends_cleanly (void)
{
  static const Case cases[] = {
    CASE (PROTO ".", "left over"),
    CASE (PROTO "NN.", "left over"),
    CASE (PROTO "N(.", "left over"),
    CASE (PROTO "N", "cut off"),
    CASE (PROTO "N.N", "follows"),
    CASE (PROTO "N.\0", "follows"),
    CASE (PROTO "t.", "no mark"),
    CASE (PROTO "}u.", "no mark"),
    CASE (PROTO "\x85.", "stack empty"),
    CASE (PROTO "N\x87.", "stack empty"),
    CASE ("N.", "protocol 2 to 5"),
    CASE ("\x80\1N.", "protocol 2 to 5"),
    CASE ("\x80\6N.", "protocol 2 to 5"),
    CASE (PROTO PROTO "N.", "a step (0x80)"),
    CASE (PROTO "X\2\0\0\0\xff\xfe.", "not UTF-8"),
    CASE (PROTO "X\2\0\0\0\0a.", "not UTF-8"),
    CASE (PROTO "X\2\0\0\0a", "cut off"),
    CASE (PROTO "\x8a\x09\0\0\0\0\0\0\0\0\1.", "larger than 64 bits"),
    CASE (PROTO "\x8a\x08\0.", "cut off"),
    CASE (PROTO "\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "cut off"),
    CASE (PROTO "cos", "too long or cut off"),
    CASE (PROTO "cos\nsystem", "too long or cut off"),
    CASE (PROTO "K\1K\2\x93.", "not text"),
  };

  REFUSE_ALL (cases);
}

/* The steps that the machine knows; all other bytes, also those that Python knows, are refused. */
static void
test_other_steps_are_refused (void)
{
  static const char known[] = "(.NJKMGXU)t]ae}suqrhjcRbQ\x81\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95";
  guint n_refused = 0;

  for (guint op = 0; op < 256; op++)
    {
      guint8 pickle[] = { 0x80, 2, (guint8) op, '.' };
      g_autofree char *reason = g_strdup_printf ("a step (0x%02x)", op);

      if (op != 0 && strchr (known, (char) op) != NULL)
        continue;
      assert_refused_for (archive_for_pickle (pickle, sizeof pickle), reason);
      n_refused++;
    }
  g_assert_cmpuint (n_refused, ==, 256 - (sizeof known - 1));
}

/* Names that have been used to run code out of a pickle, and some that come close to allowed ones. */
static const char *const gadgets[][2] = {
  { "os", "system" }, { "posix", "system" }, { "nt", "system" }, { "os", "popen" }, { "os", "execv" },
  { "subprocess", "Popen" }, { "subprocess", "check_output" }, { "builtins", "eval" }, { "builtins", "exec" },
  { "builtins", "getattr" }, { "builtins", "__import__" }, { "builtins", "compile" }, { "builtins", "open" },
  { "__builtin__", "eval" }, { "__builtin__", "file" }, { "importlib", "import_module" }, { "runpy", "run_module" },
  { "runpy", "_run_code" }, { "pickle", "loads" }, { "_pickle", "loads" }, { "marshal", "loads" }, { "types", "CodeType" },
  { "types", "FunctionType" }, { "functools", "partial" }, { "operator", "attrgetter" }, { "operator", "methodcaller" },
  { "itertools", "starmap" }, { "copyreg", "_reconstructor" }, { "copy_reg", "_reconstructor" }, { "ctypes", "CDLL" },
  { "shutil", "rmtree" }, { "socket", "socket" }, { "sys", "exit" }, { "pty", "spawn" }, { "webbrowser", "open" },
  { "pip", "main" }, { "pip._internal", "main" }, { "code", "InteractiveInterpreter" }, { "timeit", "timeit" },
  { "cProfile", "run" }, { "bdb", "Bdb" }, { "asyncio.subprocess", "create_subprocess_shell" },
  { "multiprocessing.util", "spawnv_passfds" }, { "urllib.request", "urlopen" }, { "http.client", "HTTPSConnection" },
  { "ssl", "get_server_certificate" }, { "numpy.testing._private.utils", "runstring" },
  { "numpy.core.multiarray", "_reconstruct" }, { "numpy.f2py.crackfortran", "getlincoef" }, { "numpy", "load" },
  { "torch", "load" }, { "torch.hub", "load" }, { "torch.serialization", "load" }, { "torch.jit", "load" },
  { "torch._inductor.codecache", "compile_file" }, { "torch.utils._config_module", "load_config" },
  { "torch._utils", "_rebuild_qtensor" }, { "torch._utils", "_rebuild_sparse_tensor" },
  { "torch._utils", "_rebuild_device_tensor_from_numpy" }, { "torch._utils", "_rebuild_tensor" },
  { "torch._tensor", "_rebuild_from_type_v2" }, { "torch.storage", "UntypedStorage" }, { "torch", "QInt8Storage" },
  { "torch", "_utils._rebuild_tensor_v2" }, { "collections", "defaultdict" }, { "collections", "OrderedDict " },
  { "collections ", "OrderedDict" }, { "Collections", "OrderedDict" }, { "collections.OrderedDict", "fromkeys" },
  { "pytorch_lightning", "Trainer" }, { "pytorch_lightningx.y", "Z" }, { "argparse", "FileType" },
  { "_codecs", "decode" }, { "", "" }, { "os\x1b[31m", "system\x07" }, { "o\xff", "s" },
};

static void
refuse_name (const char *module,
             const char *name,
             gboolean    from_stack)
{
  GByteArray *pickle = g_byte_array_new ();
  g_autofree char *both = g_strdup_printf ("%s.%s", module, name);
  gboolean printable = g_str_is_ascii (both) && strpbrk (both, "\x1b\x07") == NULL;
  g_autofree char *shown = printable ? g_strdup_printf ("'%s'", both) : g_strdup ("");

  put_text (pickle, from_stack ? "\x80\4" : PROTO);
  if (from_stack)
    {
      put_text (pickle, "\x8c");
      put (pickle, 1, strlen (module));
      put_text (pickle, module);
      put_text (pickle, "\x8c");
      put (pickle, 1, strlen (name));
      put_text (pickle, name);
      put_text (pickle, "\x93");
    }
  else
    {
      g_autofree char *global = g_strdup_printf ("c%s\n%s\n", module, name);
      put_text (pickle, global);
    }
  put_text (pickle, "X");
  put (pickle, 4, 4);
  put_text (pickle, "true\x85R.");
  assert_refused_for (archive_for_pickle (pickle->data, pickle->len), shown);
  g_byte_array_unref (pickle);
}

static void
test_names_outside_the_list_are_refused (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (gadgets); i++)
    {
      refuse_name (gadgets[i][0], gadgets[i][1], FALSE);
      refuse_name (gadgets[i][0], gadgets[i][1], TRUE);
    }
}

static void
test_names_in_sentences_are_harmless (void)
{
  static const char escape[] = PROTO "cos\x1b[31m\nsys\xe2\x80\xaetem\n)R.";
  g_autoptr (GError) error = NULL;
  GString *name = g_string_new (PROTO "c");

  g_assert_null (open_array (archive_for_pickle (escape, sizeof escape - 1), &error));
  g_assert_nonnull (strstr (error->message, "'os\\u001b[31m.sys\\u202etem'"));
  for (guint i = 0; i < 250; i++)
    g_string_append_c (name, 'a');
  g_string_append (name, "\nb\n)R.");
  g_clear_error (&error);
  g_assert_null (open_array (archive_for_pickle (name->str, name->len), &error));
  g_assert_cmpuint (strlen (error->message), <, 300);
  g_string_free (name, TRUE);
}

/* --- Tensors over their storages --- */

static void
test_tensors_stay_inside_their_storage (void)
{
#define TABLE(offset, size, stride) PROTO "}" KEY_W TENSOR_AT (STORAGE, offset, size, stride) "s."
#define HUGE "\x8a\x08\0\0\0\0\0\0\0\x40" /* 2^62 */
  static const Case cases[] = {
    CASE (TABLE ("K\0", "K\5\x85", "K\1\x85"), "larger than its storage"),
    CASE (TABLE ("K\1", "K\4\x85", "K\1\x85"), "outside its storage"),
    CASE (TABLE ("K\0", "K\4\x85", "K\2\x85"), "outside its storage"),
    CASE (TABLE ("K\4", ")", ")"), "outside its storage"),
    CASE (TABLE ("K\5", "K\0\x85", "K\1\x85"), "outside its storage"),
    CASE (TABLE (HUGE, "K\1\x85", "K\1\x85"), "outside its storage"),
    CASE (TABLE ("K\0", "K\2\x85", HUGE "\x85"), "outside its storage"),
    CASE (TABLE ("K\0", "K\2K\2\x86", HUGE HUGE "\x86"), "outside its storage"),
    CASE (TABLE ("K\0", "K\4\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"), "outside its storage"),
    CASE (TABLE ("K\0", HUGE "\x85", "K\0\x85"), "overflows"),
    CASE (TABLE ("K\0", HUGE HUGE "K\0\x87", "K\1K\1K\1\x87"), "overflows"),
    CASE (TABLE ("K\0", "J\xff\xff\xff\x7f\x85", "K\0\x85"), "larger than its storage"),
    CASE (TABLE ("K\0", "K\5\x85", "K\0\x85"), "larger than its storage"),
  };

  REFUSE_ALL (cases);
#undef TABLE
#undef HUGE
}

static void
test_storages_have_the_size_they_claim (void)
{
#define TABLE(storage) PROTO "}" KEY_W TENSOR_AT (storage, "K\0", "K\1\x85", "K\1\x85") "s."
  static const Case cases[] = {
    CASE (TABLE (STORAGE_OF ("Float", "X\1\0\0\0" "0", "K\3")), "16 bytes where 3 elements of F32"),
    CASE (TABLE (STORAGE_OF ("Float", "X\1\0\0\0" "0", "K\5")), "16 bytes where 5 elements of F32"),
    CASE (TABLE (STORAGE_OF ("Double", "X\1\0\0\0" "0", "K\4")), "16 bytes where 4 elements of F64"),
    CASE (TABLE (STORAGE_OF ("Float", "X\1\0\0\0" "0", "\x8a\x08\4\0\0\0\0\0\0\x40")), "storage '0' has 16 bytes"),
    CASE (TABLE (STORAGE_OF ("Float", "X\1\0\0\0" "1", "K\4")), "storage '1' is not in the archive"),
    CASE (TABLE (STORAGE_OF ("Float", "X\2\0\0\0" "00", "K\4")), "storage '00' is not in the archive"),
    CASE (PROTO "}(" KEY_W TENSOR KEY_X TENSOR_AT (STORAGE_OF ("Int", "X\1\0\0\0" "0", "K\4"), "K\0", "K\4\x85", "K\1\x85")
          "u.", "two types"),
    CASE (PROTO "}(" KEY_W TENSOR KEY_X TENSOR_AT (STORAGE_OF ("Float", "X\1\0\0\0" "0", "K\3"), "K\0", "K\1\x85", "K\1\x85")
          "u.", "two types"),
    /* Also where no table of weights uses it. */
    CASE (PROTO "}(" KEY_W TENSOR KEY_X "]" STORAGE_OF ("Half", "X\1\0\0\0" "0", "K\4") "au.", "two types"),
  };

  REFUSE_ALL (cases);
#undef TABLE
}

/* Thousands of transposed views of one storage would become thousands of copies of it. */
static void
test_views_cannot_fill_the_memory (void)
{
  static const char transposed[] =
    TENSOR_AT (STORAGE_OF ("Float", "X\1\0\0\0" "0", "J\0\0\1\0"), "K\0", "M\0\1M\0\1\x86", "K\1M\0\1\x86");
  g_autofree guint8 *zeros = g_malloc0 (65536 * 4);
  GByteArray *pickle = g_byte_array_new ();
  Archive *archive = archive_new ();

  put_text (pickle, PROTO "}(");
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("%04u", i);

      put_text (pickle, "X");
      put (pickle, 4, 4);
      put_text (pickle, name);
      g_byte_array_append (pickle, (const guint8 *) transposed, sizeof transposed - 1);
    }
  put_text (pickle, "u.");
  archive_add (archive, "a/data.pkl", pickle->data, pickle->len);
  archive_add (archive, "a/data/0", zeros, 65536 * 4);
  assert_refused_for (archive_finish (archive), "more data than the file has");
  g_byte_array_unref (pickle);
}

/* --- Structures that grow or loop --- */

static void
test_repeated_references_cost_nothing (void)
{
  /* Sixty pairs, each of the one before and itself again: 2^60 items for whoever follows them. */
  GByteArray *pickle = g_byte_array_new ();
  g_autoptr (DimrWeights) weights = NULL;

  put_text (pickle, PROTO "}(");
  g_byte_array_append (pickle, (const guint8 *) KEY_W TENSOR KEY_X, sizeof (KEY_W TENSOR KEY_X) - 1);
  put_text (pickle, ")");
  for (guint i = 0; i < 60; i++)
    {
      put_text (pickle, "q");
      put (pickle, 1, i);
      put_text (pickle, "h");
      put (pickle, 1, i);
      put_text (pickle, "\x86");
    }
  put_text (pickle, "u.");
  weights = open_made (archive_for_pickle (pickle->data, pickle->len));
  assert_w_is_1234 (weights);
  g_byte_array_unref (pickle);
}

static void
test_loops_end (void)
{
  /* A list in itself, beside weights. */
  static const char list[] = PROTO "}(" KEY_W TENSOR KEY_X "]q\0h\0au.";
  /* A table whose 'model' is itself. */
  static const char table[] = PROTO "}q\0(" KEY_W TENSOR "X\5\0\0\0modelh\0u.";
  /* One without tensors. */
  static const char empty[] = PROTO "}q\0X\5\0\0\0modelh\0s.";
  g_autoptr (DimrWeights) beside = open_made (archive_for_pickle (list, sizeof list - 1));
  g_autoptr (DimrWeights) inside = open_made (archive_for_pickle (table, sizeof table - 1));

  assert_w_is_1234 (beside);
  assert_w_is_1234 (inside);
  g_assert_cmpstr (dimr_weights_get_table (inside), ==, "model");
  assert_refused_for (archive_for_pickle (empty, sizeof empty - 1), "a dictionary without tensors");
}

/* @step, @n times. */
static void
refuse_repeated (const char *start,
                 const char *step,
                 gsize       n_step,
                 guint       n,
                 const char *reason)
{
  GByteArray *pickle = g_byte_array_new ();

  put_text (pickle, start);
  for (guint i = 0; i < n; i++)
    g_byte_array_append (pickle, (const guint8 *) step, (guint) n_step);
  assert_refused_for (archive_for_pickle (pickle->data, pickle->len), reason);
  g_byte_array_unref (pickle);
}

static void
test_limits_hold (void)
{
  refuse_repeated (PROTO ")", "\x85", 1, 65, "64 levels");
  refuse_repeated (PROTO "]", "]q\0h\0", 5, 1000001 / 2, "a stack of more than 1000000 items");
  refuse_repeated (PROTO, "(", 1, 1000001, "a stack of more than 1000000 items");
  refuse_repeated (PROTO "N", "q\0", 2, 5000000, "more than 5000000 steps");
}

static void
test_too_many_tensors_are_refused (void)
{
  GByteArray *pickle = g_byte_array_new ();

  put_text (pickle, PROTO "}(");
  g_byte_array_append (pickle, (const guint8 *) KEY_W TENSOR "q\0", sizeof (KEY_W TENSOR "q\0") - 1);
  for (guint i = 0; i < 100000; i++)
    {
      g_autofree char *name = g_strdup_printf ("%06u", i);

      put_text (pickle, "U");
      put (pickle, 1, 6);
      put_text (pickle, name);
      put_text (pickle, "h");
      put (pickle, 1, 0);
    }
  put_text (pickle, "u.");
  assert_refused_for (archive_for_pickle (pickle->data, pickle->len), "more than 100000 tensors");
  g_byte_array_unref (pickle);
}

/* --- Which table --- */

#define KEY_EMA "X\3\0\0\0ema"
#define KEY_MODEL "X\5\0\0\0model"
#define KEY_STATE_DICT "X\12\0\0\0state_dict"
#define ONE_TENSOR "}" KEY_W TENSOR "s"

static void
test_tables_are_chosen_in_order (void)
{
  static const struct
  {
    const char *pickle;
    gsize size;
    const char *table;
  } cases[] = {
#define ROW(pickle, table) { pickle, sizeof pickle - 1, table }
    ROW (PROTO "}(" KEY_MODEL ONE_TENSOR KEY_STATE_DICT ONE_TENSOR KEY_EMA ONE_TENSOR KEY_W TENSOR "u.", "ema"),
    ROW (PROTO "}(" KEY_MODEL ONE_TENSOR KEY_STATE_DICT ONE_TENSOR KEY_EMA "}" KEY_W TENSOR "u.", "state_dict"),
    ROW (PROTO "}(" KEY_MODEL ONE_TENSOR KEY_EMA "N" KEY_W TENSOR "u.", "model"),
    ROW (PROTO "}(" KEY_MODEL TENSOR KEY_EMA "G?\360\0\0\0\0\0\0" KEY_W TENSOR "u.", NULL),
    /* What is neither a tensor nor an object of a training program is left out. */
    ROW (PROTO "}(K\1NK\2N" KEY_X "K\7" KEY_W TENSOR "X\1\0\0\0y]K\1a" "u.", NULL),
    /* Classes as keys of a table that is not used. */
    ROW (PROTO "}(" KEY_W TENSOR KEY_X "}(cpytorch_lightning.callbacks\nA\nNcpytorch_lightning.callbacks\nA\nNu" "u.", NULL),
#undef ROW
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (DimrWeights) weights = open_made (archive_for_pickle (cases[i].pickle, cases[i].size));

      assert_w_is_1234 (weights);
      g_assert_cmpstr (dimr_weights_get_table (weights), ==, cases[i].table);
    }
}

static void
test_what_stands_among_weights_is_checked (void)
{
  static const Case cases[] = {
    CASE (PROTO "}(" KEY_W TENSOR KEY_X "cargparse\nNamespace\n)\x81" "u.", "among the weights"),
    CASE (PROTO "}(" KEY_MODEL "}(" KEY_W TENSOR KEY_X "cnumpy\ndtype\n)Ruu.", "among the weights"),
    CASE (PROTO "}(K\1" TENSOR "u.", "no name"),
    CASE (PROTO "}(X\0\0\0\0" TENSOR "u.", "empty or too long"),
  };
  static const Case models[] = {
    CASE (PROTO "K\1.", "a step counter"),
    CASE (PROTO "].", "no dictionary of tensors"),
    CASE (PROTO "N.", "no dictionary of tensors"),
    CASE (PROTO "}.", "a dictionary without tensors"),
    CASE (PROTO TENSOR ".", "a single tensor"),
    CASE (PROTO "cargparse\nNamespace\n)\x81}b.", "training program"),
  };

  REFUSE_ALL (cases);
  REFUSE_ALL (models);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pickle/sound-one-is-read", test_sound_pickle_is_read);
  g_test_add_func ("/pickle/items-go-into-containers-only", test_items_go_into_containers_only);
  g_test_add_func ("/pickle/keys-are-text-or-numbers-and-differ", test_keys_are_text_or_numbers_and_differ);
  g_test_add_func ("/pickle/memory-is-set-before-it-is-recalled", test_memory_is_set_before_it_is_recalled);
  g_test_add_func ("/pickle/calls-have-exact-arguments", test_calls_have_exact_arguments);
  g_test_add_func ("/pickle/storages-are-storages", test_storages_are_storages);
  g_test_add_func ("/pickle/attributes-go-to-ordered-dicts-only", test_attributes_go_to_ordered_dicts_only);
  g_test_add_func ("/pickle/ends-cleanly", test_a_pickle_ends_cleanly);
  g_test_add_func ("/pickle/other-steps-are-refused", test_other_steps_are_refused);
  g_test_add_func ("/pickle/names-outside-the-list-are-refused", test_names_outside_the_list_are_refused);
  g_test_add_func ("/pickle/names-in-sentences-are-harmless", test_names_in_sentences_are_harmless);
  g_test_add_func ("/pickle/tensors-stay-inside-their-storage", test_tensors_stay_inside_their_storage);
  g_test_add_func ("/pickle/storages-have-the-size-they-claim", test_storages_have_the_size_they_claim);
  g_test_add_func ("/pickle/views-cannot-fill-the-memory", test_views_cannot_fill_the_memory);
  g_test_add_func ("/pickle/repeated-references-cost-nothing", test_repeated_references_cost_nothing);
  g_test_add_func ("/pickle/loops-end", test_loops_end);
  g_test_add_func ("/pickle/limits-hold", test_limits_hold);
  g_test_add_func ("/pickle/too-many-tensors-are-refused", test_too_many_tensors_are_refused);
  g_test_add_func ("/pickle/tables-are-chosen-in-order", test_tables_are_chosen_in_order);
  g_test_add_func ("/pickle/what-stands-among-weights-is-checked", test_what_stands_among_weights_is_checked);
  return g_test_run ();
}
