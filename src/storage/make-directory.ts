import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a directory and its parents where they are missing, one level at a time: Node's own recursion does not end under /proc.
 * @throws the system's error
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && dirname(path) !== path) {
      await makeDirectory(dirname(path), mode)
      await mkdir(path, { mode })
    } else if (code !== 'EEXIST' || !(await stat(path).catch(() => undefined))?.isDirectory()) throw error
  }
}
