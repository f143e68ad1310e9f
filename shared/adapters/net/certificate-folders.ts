// The contents of the folders of SSL_CERT_DIR, as Go reads them (crypto/x509, root_unix.go): several folders separated by colons, each
// file whatever its name. Node takes the whole variable for one folder.

import { type Dirent, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '#shared/kernel/units.ts'

/** The authorities of an image are about 150 files of 2 KiB, and one file of 250 KiB that contains all of them. */
const MOST_FOLDERS = 32
const MOST_FILES = 4096
const MOST_BYTES = 16 * MiB

/** PEM texts of the files; unreadable files are ignored. */
export function textsIn(folders: string): string[] {
  const texts: string[] = []
  let bytesLeft = MOST_BYTES
  for (const file of folders.split(':').slice(0, MOST_FOLDERS).flatMap(filesIn).slice(0, MOST_FILES)) {
    const text = textOf(file, bytesLeft)
    if (text === undefined) continue
    bytesLeft -= text.length
    texts.push(text)
  }
  return texts
}

function filesIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries.filter((entry) => !leadsBeside(folder, entry)).map(({ name }) => join(folder, name))
  } catch {
    return []
  }
}

/** A link to another file of the same folder, as c_rehash makes them: that file is read anyway. */
function leadsBeside(folder: string, entry: Dirent): boolean {
  return entry.isSymbolicLink() && !readlinkSync(join(folder, entry.name)).includes('/')
}

/** undefined: not a regular file (reading a pipe would never end), or larger than the limit. */
function textOf(file: string, mostBytes: number): string | undefined {
  try {
    const found = statSync(file)
    return found.isFile() && found.size <= mostBytes ? readFileSync(file, 'latin1') : undefined
  } catch {
    return undefined
  }
}
