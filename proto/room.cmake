# SPDX-License-Identifier: Apache-2.0
# The two ends of the control connection (listener.c in muster, dialer.c in muster-worker) are the only files that see zmq.h.
target_link_libraries(proto PUBLIC PkgConfig::ZMQ)
