# SPDX-License-Identifier: Apache-2.0
# cmake -D ROOM=file -P check_includes.cmake: fails if a source of the room that the file describes (muster_check_rooms writes it) includes
# a header of a room that it does not link, directly (DIRECT) or through a room that it links (ALLOWED), or if it links a room of which
# it includes nothing. SOURCES and the directories of rooms (ROOMS: all of them) are relative to ROOT.
cmake_minimum_required(VERSION 3.25)
include(${ROOM})

# The room of a path: the nearest directory above it that is one.
function(room_of result path)
  while(path MATCHES "/")
    string(REGEX REPLACE "/[^/]*$" "" path "${path}")
    if(path IN_LIST ROOMS)
      break()
    endif()
  endwhile()
  set(${result} "${path}" PARENT_SCOPE)
endfunction()

set(breaches "")
set(used "")
foreach(source IN LISTS SOURCES)
  file(STRINGS ${ROOT}/${source} includes REGEX "^[ \t]*#[ \t]*include[ \t]*\"")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "^[^\"]*\"([^\"]*)\".*$" "\\1" path "${include}")
    if(NOT path MATCHES "/") # beside the source
      continue()
    endif()
    room_of(room "${path}")
    list(APPEND used ${room})
    if(NOT room IN_LIST ALLOWED)
      string(APPEND breaches "\n  ${source} includes \"${path}\", but ${NAME} does not link the room ${room}")
    endif()
  endforeach()
endforeach()
foreach(room IN LISTS DIRECT)
  if(NOT room IN_LIST used)
    string(APPEND breaches "\n  ${NAME} links the room ${room}, but includes no header of it")
  endif()
endforeach()
if(breaches)
  message(FATAL_ERROR "who may include whom is the LINKS of muster_room in CMakeLists.txt:${breaches}\n")
endif()
file(TOUCH ${STAMP})
