// Reads the files of a Backup's tarball that Velero has stored in the bucket.

import { gunzipSync } from 'node:zlib'
import type { Environment } from '#test/environment/environment.ts'
import { VELERO_PREFIX } from '#test/environment/velero/start.ts'

const BLOCK_BYTES = 512
const REGULAR_FILE = '0'

/** By the path in the tarball. */
export async function filesOfTarball({ s3 }: Environment, backup: string): Promise<Map<string, Buffer>> {
  return filesOfTar(gunzipSync(await s3.read(`${VELERO_PREFIX}/backups/${backup}/${backup}.tar.gz`)))
}

/** In the form that Go's archive/tar writes for names that fit a header: a header, the content, padding to a whole block. */
function filesOfTar(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; tar[at]; ) {
    const text = (from: number, bytes: number) =>
      tar.toString('utf8', at + from, at + from + bytes).replace(/\0.*$/s, '')
    const bytes = Number.parseInt(text(124, 12), 8)
    const type = text(156, 1) || REGULAR_FILE
    if (type !== REGULAR_FILE && type !== '5') throw new Error(`a tar entry of type ${type} at byte ${at}`)
    const content = at + BLOCK_BYTES
    const name = [text(345, 155), text(0, 100)].filter(Boolean).join('/')
    files.set(name, tar.subarray(content, content + bytes))
    at = content + Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
  }
  return files
}
