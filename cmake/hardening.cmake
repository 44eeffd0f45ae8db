# SPDX-License-Identifier: Apache-2.0
# What makes a memory error harder to exploit: position-independent programs, stack protectors, checked string functions, tables
# that are read-only once the program runs, no executable stack. Off under sanitizers, which check more and conflict with FORTIFY.
option(MUSTER_HARDENING "hardening flags" ON)
if(NOT MUSTER_HARDENING OR MUSTER_SANITIZE OR MUSTER_TSAN)
  return()
endif()
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options(-fstack-protector-strong)
add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
