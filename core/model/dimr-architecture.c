/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-architecture.h"

const DimrArchitecture * const *
dimr_architecture_list (void)
{
  static const DimrArchitecture * const rows[] = {
    &dimr_architecture_multires,
    &dimr_architecture_uvit,
    &dimr_architecture_dit,
    &dimr_architecture_vit,
    NULL,
  };

  return rows;
}
