// Without a cluster: files stand for the Secrets that a repository's parameters name.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { collectSecrets } from '#shared/domain/repository-secrets.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { type SourceFlags, sourceOf } from '../../cli/repository-source.ts'

const source = suite('a repository from the command line')
const KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index))
let folder: string
source.before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'dormouse-source-'))
})
source.after(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string | Buffer): string {
  writeFileSync(path.join(folder, name), content)
  return path.join(folder, name)
}

async function secretsOf(flags: SourceFlags) {
  const passwordFile = file('password', 'secret')
  const { stores, spec, readSecret } = await sourceOf({ ...flags, passwordFile })
  return await collectSecrets(stores.parse(spec).secrets, readSecret)
}

source('a file stands for the customer’s key of the store, whatever its Secret was called', async () => {
  const customerKeyFile = file('customer-key', KEY)
  const credentialsFile = file('credentials', '[default]\n')
  for (const named of [
    [],
    ['customerKeyEncryptionSecret=sse/key'],
    ['customerKeyEncryptionSecret=cloud-credentials/sse'],
  ]) {
    const parameter = ['bucket=backups', ...named]
    const secrets = await secretsOf({ parameter, customerKeyFile, credentialsFile })
    const values = ['customerKeyEncryptionSecret', 'credentialSecretName'].map((name) => secrets.get(name))
    assert.equal(values, [KEY, Buffer.from('[default]\n')], named[0])
  }
})

source(
  'without that file no store is asked for with a customer’s key, and a Secret that is named is missed',
  async () => {
    assert.not((await secretsOf({ parameter: ['bucket=backups'] })).has('customerKeyEncryptionSecret'))
    const missed = secretsOf({ parameter: ['bucket=backups', 'customerKeyEncryptionSecret=sse/key'] })
    assert.match(String(await missed.catch((error: unknown) => error)), /Secret sse .* does not exist/)
  },
)

source('a file that cannot be read is named, with a reason', async () => {
  const missing = path.join(folder, 'nofile')
  const fails = secretsOf({ parameter: ['bucket=backups'], credentialsFile: missing })
  const error: unknown = await fails.catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TerminalError && error.reason === 'UsageInvalid', String(error))
  assert.match(error.message, missing)
})

source.run()
