# SPDX-License-Identifier: Apache-2.0
# Manual pages and bash completion, made from the tables of the programs at each build that changes them, and installed.
add_executable(muster-reference tools/reference/main.c tools/reference/man_pages.c tools/reference/completion.c)
muster_options(muster-reference)
target_link_libraries(muster-reference PRIVATE cli)
string(TIMESTAMP MUSTER_DATE "%Y-%m-%d" UTC) # SOURCE_DATE_EPOCH, where it is set
set(MUSTER_REFERENCE ${CMAKE_BINARY_DIR}/reference)
add_custom_command(OUTPUT ${MUSTER_REFERENCE}/muster.1 ${MUSTER_REFERENCE}/muster
  COMMAND ${CMAKE_COMMAND} -E make_directory ${MUSTER_REFERENCE}
  COMMAND muster-worker options > ${MUSTER_REFERENCE}/options.json
  COMMAND muster-reference ${MUSTER_REFERENCE}/options.json ${MUSTER_DATE} ${MUSTER_REFERENCE}
  DEPENDS muster-reference muster-worker COMMENT "Writing manual pages" VERBATIM)
add_custom_target(reference ALL DEPENDS ${MUSTER_REFERENCE}/muster.1)
install(DIRECTORY ${MUSTER_REFERENCE}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(DIRECTORY ${MUSTER_REFERENCE}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 FILES_MATCHING PATTERN "*.5")
install(FILES ${MUSTER_REFERENCE}/muster DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${MUSTER_REFERENCE}/muster DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME muster-worker)
