// Without a cluster: files stand for the Secrets that a repository's parameters name.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRepositoryParameters } from '#shared/domain/repository-parameters.ts'
import { collectSecrets } from '#shared/domain/repository-secrets.ts'
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
  const { parameters, readSecret } = await sourceOf({ ...flags, passwordFile })
  return await collectSecrets(parseRepositoryParameters(parameters), readSecret)
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
    const { customerKey, credentialsFile: text } = await secretsOf({ parameter, customerKeyFile, credentialsFile })
    assert.equal([Buffer.from(customerKey ?? []), text], [KEY, '[default]\n'], named[0])
  }
})

source(
  'without that file no store is asked for with a customer’s key, and a Secret that is named is missed',
  async () => {
    assert.is((await secretsOf({ parameter: ['bucket=backups'] })).customerKey, undefined)
    const missed = secretsOf({ parameter: ['bucket=backups', 'customerKeyEncryptionSecret=sse/key'] })
    assert.match(String(await missed.catch((error: unknown) => error)), /Secret sse .* does not exist/)
  },
)

source.run()
