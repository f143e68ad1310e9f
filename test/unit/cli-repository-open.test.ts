import { generateKeyPairSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { createRepositories } from '#shared/engine/repositories.ts'
import { createRepository, requireRepository } from '#shared/engine/repository.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import { access, FCD } from '#test/support/engine-world.ts'
import { letPasswordIn } from '../../cli/repository-open.ts'

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
    const opened = await letPasswordIn(store, secret, 'new password', cheap)
    assert.match(opened.slot!, /^keys\//)
    for (const way of ['new password', 'lost password', secret]) {
      assert.is((await requireRepository(store, way)).config.repositoryId, opened.repositoryId)
    }
  }
})

test('doing it twice adds one slot', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await letPasswordIn(store, 'words', 'new', cheap)
  assert.is((await letPasswordIn(store, 'words', 'new', cheap)).slot, undefined)
  assert.is((await letPasswordIn(store, 'words', 'lost password', cheap)).slot, undefined)
})

test('a wrong recovery key changes nothing, and an empty bucket is no repository', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await refused(letPasswordIn(store, 'other words', 'new', cheap), 'RepositoryKeyWrong')
  await refused(requireRepository(store, 'new'), 'RepositoryKeyWrong')
  await refused(letPasswordIn(new MemoryObjectStore(), 'words', 'new', cheap), 'RepositoryMissing')
})

/** What the functions do with the password of the Secret; a process of theirs keeps the keys that it has unwrapped. */
function functionsOver(store: MemoryObjectStore) {
  const repositories = createRepositories({ storeOf: () => store, clock: systemClock, scrypt: cheap })
  return (password: string) => repositories.backupsOf({ ...access, password }, FCD)
}

test('a slot for the new password first, then the Secret: at no time does its password open nothing', async () => {
  const store = await aRepository(undefined)
  const work = functionsOver(store)
  assert.equal(await work('lost password'), [])
  await letPasswordIn(store, 'lost password', 'new', cheap)
  assert.equal(await work('lost password'), [], 'until the Secret is changed')
  assert.equal(await work('new'), [], 'from then on')
})

test('the Secret first: everything fails until the old password lets the new one in, and nothing is lost', async () => {
  const store = await aRepository(undefined)
  const work = functionsOver(store)
  assert.equal(await work('lost password'), [])
  await refused(work('new'), 'RepositoryKeyWrong')
  await refused(letPasswordIn(store, 'new', 'new', cheap), 'RepositoryKeyWrong')
  await letPasswordIn(store, 'lost password', 'new', cheap)
  assert.equal(await work('new'), [])
})

test.run()
