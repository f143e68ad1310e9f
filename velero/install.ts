// Copies this executable file into a folder: the init container does this with Velero's plugins folder.

import { chmodSync, closeSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isSea } from 'node:sea'
import { asError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'

export const PLUGIN_FILE = 'velero-plugin-dormouse'

/** Ends the process: with exit code 0 when the file is there, complete and executable. */
export function install(folder: string | undefined): never {
  try {
    if (folder === undefined) throw new Error('usage: install FOLDER')
    if (!isSea()) throw new Error('only the built plugin can install itself: make velero-plugin')
    copySelf(folder)
    console.log(`installed ${join(folder, PLUGIN_FILE)}`)
    process.exit(0)
  } catch (error) {
    console.error(`not installed: ${asError(error).message}`)
    process.exit(1)
  }
}

/**
 * Velero starts every file in the folder that has an x bit, and exits if such a file is incomplete, or if the same plugin is there twice.
 * So the copy gets the bit only under its final name. After a crash at any point the next copy replaces the last one.
 */
function copySelf(folder: string): void {
  const part = join(folder, `.${PLUGIN_FILE}.part`)
  const file = join(folder, PLUGIN_FILE)
  copyWithoutMode(process.execPath, part)
  renameSync(part, file)
  chmodSync(file, 0o755)
}

/** Not copyFile, which copies the x bit too. */
function copyWithoutMode(from: string, to: string): void {
  const source = openSync(from, 'r')
  const target = openSync(to, 'w', 0o600)
  const buffer = Buffer.alloc(MiB)
  for (let read = readSync(source, buffer); read > 0; read = readSync(source, buffer)) {
    for (let written = 0; written < read; ) written += writeSync(target, buffer, written, read - written)
  }
  fsyncSync(target)
  closeSync(target)
  closeSync(source)
}
