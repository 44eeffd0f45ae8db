# SPDX-License-Identifier: Apache-2.0
# The cpu device's kernels, compiled once for each instruction set and act type. No flag reaches any other file.
file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/kernels/*.c)

function(device_kernels isa description types) # and then flags
  foreach(type IN LISTS types)
    set(name device_${isa}_${type})
    add_library(${name} OBJECT ${kernels})
    muster_options(${name})
    string(COMPARE EQUAL ${type} bf16 half)
    target_compile_definitions(${name} PRIVATE ISA=${isa} ISA_DESCRIPTION="${description}" ACT=${type} ACT_IS_BF16=${half})
    target_compile_options(${name} PRIVATE -O3 ${ARGN})
    target_sources(device PRIVATE $<TARGET_OBJECTS:${name}>)
  endforeach()
endfunction()

device_kernels(baseline "baseline" "f32;bf16")
device_kernels(amx_in_c "AMX in plain C" "bf16" -DAMX_IN_C) # for tests: never chosen
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  device_kernels(avx2 "AVX2" "f32;bf16" ${avx2})
  device_kernels(avx512 "AVX-512" "f32;bf16" ${avx512})
  device_kernels(avx512_bf16 "AVX-512 with bf16" "bf16" ${avx512} -mavx512bf16)
  device_kernels(amx "AMX" "bf16" ${avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
endif()

if(MUSTER_CUDA)
  file(GLOB cuda CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/cuda/*.cu)
  add_library(device_cuda OBJECT ${cuda})
  target_include_directories(device_cuda PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(device_cuda PRIVATE _GNU_SOURCE)
  target_compile_options(device_cuda PRIVATE -O3 -Xptxas=-warn-spills -Werror=all-warnings) # a kernel that spills fails the build
  set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/cuda/cuda_optimizer.cu PROPERTIES COMPILE_OPTIONS -fmad=false) # AdamW gives every device's bits
  target_sources(device PRIVATE $<TARGET_OBJECTS:device_cuda>)
  target_compile_definitions(device PRIVATE MUSTER_CUDA)
  target_link_libraries(device PUBLIC CUDA::cudart CUDA::cublasLt)
endif()
