# SPDX-License-Identifier: Apache-2.0
target_include_directories(format PRIVATE ${HDF5_C_INCLUDE_DIRS})
