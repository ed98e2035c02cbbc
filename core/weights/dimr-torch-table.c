/* Which of a checkpoint's tables are the weights, and what a file is that has none.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-refuse.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-torch-private.h"

static gboolean
holds_tensors (DimrPickle    *pickle,
               DimrPickleNode node)
{
  DimrPickleIter iter;
  DimrPickleNode value;

  if (!dimr_pickle_is_dict (pickle, node))
    return FALSE;
  dimr_pickle_iter_init (&iter, pickle, node);
  while (dimr_pickle_iter_next (&iter, pickle, NULL, &value))
    if (dimr_pickle_kind (pickle, value) == DIMR_PICKLE_TENSOR)
      return TRUE;
  return FALSE;
}

static gboolean
is_optimizer (DimrPickle    *pickle,
              DimrPickleNode node)
{
  return dimr_pickle_is_dict (pickle, node) && dimr_pickle_lookup (pickle, node, "param_groups") != 0 &&
         dimr_pickle_lookup (pickle, node, "state") != 0;
}

static gboolean
holds_optimizer (DimrPickle    *pickle,
                 DimrPickleNode node)
{
  DimrPickleIter iter;
  DimrPickleNode value;

  dimr_pickle_iter_init (&iter, pickle, node);
  while (dimr_pickle_iter_next (&iter, pickle, NULL, &value))
    if (is_optimizer (pickle, value))
      return TRUE;
  return FALSE;
}

static const char *
what_it_is (DimrPickle    *pickle,
            DimrPickleNode root)
{
  switch (dimr_pickle_kind (pickle, root))
    {
    case DIMR_PICKLE_INT:
      return _("a step counter");
    case DIMR_PICKLE_TENSOR:
      return _("a single tensor without a name");
    case DIMR_PICKLE_OPAQUE:
      return _("the settings of a training program");
    case DIMR_PICKLE_DICT:
    case DIMR_PICKLE_ORDERED_DICT:
      if (is_optimizer (pickle, root) || holds_optimizer (pickle, root))
        return _("optimizer state");
      if (dimr_pickle_lookup (pickle, root, "last_epoch") != 0 || dimr_pickle_lookup (pickle, root, "base_lrs") != 0)
        return _("the state of a learning-rate schedule");
      return _("a dictionary without tensors");
    default:
      return _("no dictionary of tensors");
    }
}

DimrPickleNode
dimr_torch_choose_table (DimrTorchReader *self,
                         const char     **table)
{
  static const char *const nested[] = { "ema", "state_dict", "model" };
  DimrPickle *pickle = self->pickle;
  DimrPickleNode root = dimr_pickle_root (pickle);

  *table = NULL;
  if (dimr_pickle_is_dict (pickle, root))
    for (guint i = 0; i < G_N_ELEMENTS (nested); i++)
      {
        DimrPickleNode node = dimr_pickle_lookup (pickle, root, nested[i]);

        if (node != 0 && holds_tensors (pickle, node))
          {
            *table = nested[i];
            return node;
          }
      }
  if (holds_tensors (pickle, root))
    return root;
  dimr_refuse_model (self->error, self->file, dimr_pickle_where (pickle, root),
                     _("there are no weights in this file, it is %s; needed is the checkpoint of the network, such as nnet_ema.pth"),
                     what_it_is (pickle, root));
  return 0;
}
