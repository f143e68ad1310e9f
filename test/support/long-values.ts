// Runs as a child process: tries each parameter of a repository, and each field of a location, with very long values of every kind. It prints
// how many it tried. Only work in linear time ends within the parent's limit.

import { isOpenTo, OPEN_TO_ANNOTATION } from '#shared/domain/repository-claim.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import { folder } from '#shared/repository/stores/folder/kind.ts'
import { KNOWN_KEYS } from '#shared/repository/stores/s3/parameters.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { bucketSpec, stores } from './stores.ts'

const CHARS = 300_000
const KEYS = [...KNOWN_KEYS, 'path', 'unknown']
const UNITS = ['/', ' ', 'a', '=', '&', '=&', 'a/', '.', '-', '\n', ':', 'arn:aws:s3:::', '"', '\0', '%2f', ',']
const FRAMES: [string, string][] = [
  ['', ''],
  ['', 'x\u0001'],
  ['https://h/', 'x'],
  ['https://h', ''],
  ['a', 'a'],
  ['-----BEGIN CERTIFICATE-----', ''],
]

let tried = 0

function attempt(work: () => unknown): void {
  tried++
  try {
    work()
  } catch (error) {
    if (!(error instanceof DormouseError)) throw error
    if (error.message.length > 10_000) throw new Error(`a message of ${error.message.length} characters: it quotes all`)
  }
}

function aLocation(key: string, value: string): LooseObject {
  const objectStorage = { bucket: 'backups', [key]: value }
  return {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero', annotations: { [OPEN_TO_ANNOTATION]: value } },
    spec: {
      provider: key === 'provider' ? value : 'aws',
      objectStorage: { ...objectStorage, caCertRef: { name: value, key: value } },
      config: { [key]: value, customerKeyEncryptionFile: value },
      credential: { name: value, key: value },
    },
  }
}

for (const unit of UNITS) {
  const body = unit.repeat(Math.ceil(CHARS / unit.length))
  for (const [before, after] of FRAMES) {
    const value = before + body + after
    for (const key of KEYS) {
      attempt(() => stores.parse(bucketSpec({ bucket: 'backups', [key]: value })))
      attempt(() => stores.parse({ driver: folder.driver, parameters: { path: '/backups/a', [key]: value } }))
      attempt(() => stores.specOf(aLocation(key, value)))
    }
    attempt(() => stores.specOf(aLocation('provider', value)))
    attempt(() => stores.parse({ driver: value, parameters: {} }))
    attempt(() => stores.parse(bucketSpec({ bucket: 'backups', [value]: 'x' })))
    attempt(() => isOpenTo(aLocation('x', value), 'a'))
  }
}
console.log(`tried ${tried}`)
