/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into muster-worker in builds with the address sanitizer. Open MPI's plugins are unloaded before leaks are looked for: what they leave
 * behind has no name that a suppression could give it. A worker that has started MPI is not checked for leaks; one that has not is. */
extern int MPI_Initialized(int *flag);
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    int initialised = 0;
    MPI_Initialized(&initialised);
    return initialised;
}
