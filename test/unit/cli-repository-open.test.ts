import { generateKeyPairSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { createRepository, requireRepository } from '#shared/engine/repository.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import { openWithRecovery } from '../../cli/repository-open.ts'

const test = suite('dormouse repository open')
const cheap = { N: 2, r: 1, p: 1 }

async function aRepository(recovery: RecoveryChoice | undefined): Promise<MemoryObjectStore> {
  const store = new MemoryObjectStore()
  await createRepository(store, 'lost password', recovery, { scrypt: cheap })
  return store
}

const refused = async (act: Promise<unknown>, reason: string) => {
  const error: unknown = await act.catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TerminalError && error.reason === reason, String(error))
}

test('a passphrase and a private key let a new password in, and both old ways stay', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const ways: [RecoveryChoice, string][] = [
    [{ kind: 'passphrase', passphrase: 'kept in the safe' }, 'kept in the safe'],
    [{ kind: 'publicKey', pem: publicKey }, privateKey],
  ]
  for (const [recovery, secret] of ways) {
    const store = await aRepository(recovery)
    const opened = await openWithRecovery(store, secret, 'new password', cheap)
    assert.match(opened.slot!, /^keys\//)
    for (const way of ['new password', 'lost password', secret]) {
      assert.is((await requireRepository(store, way)).config.repositoryId, opened.repositoryId)
    }
  }
})

test('doing it twice adds one slot', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await openWithRecovery(store, 'words', 'new', cheap)
  assert.is((await openWithRecovery(store, 'words', 'new', cheap)).slot, undefined)
  assert.is((await openWithRecovery(store, 'words', 'lost password', cheap)).slot, undefined)
})

test('a wrong recovery key changes nothing, and an empty bucket is no repository', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await refused(openWithRecovery(store, 'other words', 'new', cheap), 'RepositoryKeyWrong')
  await refused(requireRepository(store, 'new'), 'RepositoryKeyWrong')
  await refused(openWithRecovery(new MemoryObjectStore(), 'words', 'new', cheap), 'RepositoryMissing')
})

test.run()
