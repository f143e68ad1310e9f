// Run as a child: each parameter of a repository, and each field of a location, with very long values of every kind. Prints how many it
// tried; the parent gives it a limit that work of any power above one cannot keep.

import { isOpenTo, OPEN_TO_ANNOTATION } from '#shared/domain/repository-claim.ts'
import { KNOWN_KEYS, parametersFromLocation, parseRepositoryParameters } from '#shared/domain/repository-parameters.ts'
import { DormouseError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const CHARS = 300_000
const KEYS = [...KNOWN_KEYS, 'unknown']
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
      attempt(() => parseRepositoryParameters({ bucket: 'backups', [key]: value }))
      attempt(() => parametersFromLocation(aLocation(key, value)))
    }
    attempt(() => parametersFromLocation(aLocation('provider', value)))
    attempt(() => parseRepositoryParameters({ bucket: 'backups', [value]: 'x' }))
    attempt(() => isOpenTo(aLocation('x', value), 'a'))
  }
}
console.log(`tried ${tried}`)
