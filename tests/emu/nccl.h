/* SPDX-License-Identifier: Apache-2.0 */
/* A double of what worker/comm/nccl.c calls of NCCL, for ranks under mpirun on one machine or several: data goes by MPI, when the
 * emulated streams come to it (runtime.h). As strict as NCCL's documentation allows it to be: a non-blocking call is under way
 * until it has been asked for a few times, what is put on the stream meanwhile comes in front of it, and calls on a communicator
 * that is under way, or aborted, are refused. ncclAllReduce adds in another order than the ranks' tree.
 *
 * MUSTER_EMULATED_NCCL="FAULT CALL RANK [TIME]; ..." plans faults, each at one rank's TIMEth call (1) of a function, such as
 * ncclSend, or of "data", a group's coming up on the stream:
 *   kill, stall   the process gets SIGKILL or SIGSTOP
 *   error         the call returns ncclSystemError (data: the communicator has ncclUnhandledCudaError from then on)
 *   remote        the communicator has ncclRemoteError from then on
 *   hang          what was begun never ends
 *   block         the call does not return */
#pragma once

#include <limits.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NCCL_UNIQUE_ID_BYTES 128
#define NCCL_CONFIG_INITIALIZER                                                                                                  \
    {                                                                                                                            \
        sizeof(ncclConfig_t), INT_MIN, INT_MIN                                                                                   \
    }

typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_comm *ncclComm_t;
typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;
typedef struct {
    size_t size;
    int blocking, maxCTAs;
} ncclConfig_t;
typedef enum {
    ncclSuccess,
    ncclUnhandledCudaError,
    ncclSystemError,
    ncclInternalError,
    ncclInvalidArgument,
    ncclInvalidUsage,
    ncclRemoteError,
    ncclInProgress
} ncclResult_t;
typedef enum { ncclFloat = 7 } ncclDataType_t;
typedef enum { ncclSum } ncclRedOp_t;

ncclResult_t ncclGetVersion(int *version);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t *ret, int size, ncclUniqueId id, int rank, ncclConfig_t *config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state);
ncclResult_t ncclCommFinalize(ncclComm_t c);
ncclResult_t ncclCommDestroy(ncclComm_t c);
ncclResult_t ncclCommAbort(ncclComm_t c);
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t stream);
ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t stream);
ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t how, ncclComm_t c,
                           cudaStream_t stream);
const char *ncclGetErrorString(ncclResult_t result);
const char *ncclGetLastError(ncclComm_t c);

#ifdef __cplusplus
}
#endif
