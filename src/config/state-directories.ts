/** Where a server keeps its state unless it is told: in dev mode in the working directory. */
export const DEV_STATE_DIRECTORY = './.alcazar'
export const STATE_DIRECTORY = '/var/lib/alcazar'
