/* dimr.h — the one header of libdimr that ui/ and app/ include
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"
#include "core/base/dimr-hash.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-rng.h"
#include "core/classes/dimr-classes.h"
#include "core/engine/dimr-bench.h"
#include "core/engine/dimr-codec.h"
#include "core/engine/dimr-decoder.h"
#include "core/engine/dimr-painter.h"
#include "core/engine/dimr-engine.h"
#include "core/engine/dimr-forward.h"
#include "core/engine/dimr-job.h"
#include "core/engine/dimr-request.h"
#include "core/graph/dimr-device.h"
#include "core/image/dimr-image.h"
#include "core/image/dimr-png.h"
#include "core/image/dimr-recipe.h"
#include "core/library/dimr-entry.h"
#include "core/library/dimr-library.h"
#include "core/library/dimr-paths.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-model.h"
#include "core/model/dimr-synthetic.h"
#include "core/train/dimr-collective-tcp.h"
#include "core/train/dimr-gradients.h"
#include "core/train/dimr-training.h"
#include "core/weights/dimr-safetensors-writer.h"
