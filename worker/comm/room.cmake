# SPDX-License-Identifier: Apache-2.0
if(MUSTER_CUDA)
  target_compile_definitions(comm PRIVATE MUSTER_CUDA)
  target_include_directories(comm SYSTEM PRIVATE ${NCCL_INCLUDE})
  target_link_libraries(comm PUBLIC CUDA::cudart ${NCCL})
endif()
