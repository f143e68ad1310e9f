import { generateKeyPairSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { systemClock } from '#shared/kernel/clock.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import { addRecoverySlot, createRepository, requireRepository } from '#shared/repository/core/repository.ts'
import { DEFAULT_SCRYPT, newSlotId } from '#shared/repository/format/key-slot.ts'
import { keySlotKey } from '#shared/repository/format/names.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, FCD } from '#test/support/engine-world.ts'
import { HookedStore } from '#test/support/store-faults.ts'
import { keepOnlyPassword, letPasswordIn, requireSecretsPassword } from '../../cli/repository-open.ts'

const test = suite('dormouse repository open')
const cheap = { N: 2, r: 1, p: 1 }

let nowMs = 0
/** A clock that gives each object a later time than the one before. */
const aStore = () => new MemoryObjectStore({ nowMs: () => ++nowMs })

async function aRepository(recovery: RecoveryChoice | undefined): Promise<MemoryObjectStore> {
  const store = aStore()
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
    const opened = await letPasswordIn(store, secret, 'new password', { cost: cheap })
    assert.match(opened.slot!, /^keys\//)
    for (const way of ['new password', 'lost password', secret]) {
      assert.is((await requireRepository(store, way)).config.repositoryId, opened.repositoryId)
    }
  }
})

test('another repository than the one that has to be there is left as it is', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  const keys = [...store.objects.keys()]
  const elsewhere = { cost: cheap, repositoryId: '00112233445566778899aabbccddeeff' }
  await refused(letPasswordIn(store, 'words', 'new', elsewhere), 'RepositoryDiffers')
  await refused(keepOnlyPassword(store, 'lost password', 'lost password', elsewhere), 'RepositoryDiffers')
  assert.equal([...store.objects.keys()], keys)
})

test('running the command twice adds one slot', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await letPasswordIn(store, 'words', 'new', { cost: cheap })
  assert.is((await letPasswordIn(store, 'words', 'new', { cost: cheap })).slot, undefined)
  assert.is((await letPasswordIn(store, 'words', 'lost password', { cost: cheap })).slot, undefined)
})

test('a wrong recovery key changes nothing, and an empty bucket is no repository', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  await refused(letPasswordIn(store, 'other words', 'new', { cost: cheap }), 'RepositoryKeyWrong')
  await refused(requireRepository(store, 'new'), 'RepositoryKeyWrong')
  await refused(letPasswordIn(aStore(), 'words', 'new', { cost: cheap }), 'RepositoryMissing')
})

/** Opens the repository as the functions do with the Secret's password. A real process would keep the keys that it has unwrapped. */
function functionsOver(store: MemoryObjectStore) {
  const repositories = createRepositories({
    storeOf: () => store,
    clock: systemClock,
    scrypt: cheap,
    sourceOf: blockSourceOf,
  })
  return (password: string) => repositories.backupsOf({ ...access, password }, FCD)
}

test('a slot for the new password first, then the Secret: at no time does its password open nothing', async () => {
  const store = await aRepository(undefined)
  const work = functionsOver(store)
  assert.equal(await work('lost password'), [])
  await letPasswordIn(store, 'lost password', 'new', { cost: cheap })
  assert.equal(await work('lost password'), [], 'until the Secret is changed')
  assert.equal(await work('new'), [], 'from then on')
})

test('with the Secret changed first, everything fails until the old password adds the new one, and nothing is lost', async () => {
  const store = await aRepository(undefined)
  const work = functionsOver(store)
  assert.equal(await work('lost password'), [])
  await refused(work('new'), 'RepositoryKeyWrong')
  await refused(letPasswordIn(store, 'new', 'new', { cost: cheap }), 'RepositoryKeyWrong')
  await letPasswordIn(store, 'lost password', 'new', { cost: cheap })
  assert.equal(await work('new'), [])
})

const slotsOf = (store: MemoryObjectStore) => [...store.objects.keys()].filter((key) => key.startsWith('keys/'))
const opens = (store: MemoryObjectStore, secret: string) =>
  requireRepository(store, secret).then(
    () => true,
    () => false,
  )

/** Slots as changes of the password leave them; no known password opens them. */
async function leftPasswords(store: MemoryObjectStore, count: number, cost = cheap): Promise<void> {
  const { config } = await requireRepository(store, 'lost password')
  const scrypt = { ...cost, salt: Buffer.alloc(32, 1).toString('base64') }
  const wrapped = Buffer.alloc(48).toString('base64')
  const slot = { format: 'dormouse-repository-key', version: 1, kind: 'password', scrypt, wrapped }
  for (let n = 0; n < count; n++) {
    await store.putIfAbsent(keySlotKey(newSlotId(config.repositoryId)), Buffer.from(JSON.stringify(slot)))
  }
}

test('twenty changes of the password that close the old one leave one password and the recovery key', async () => {
  const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
  let current = 'lost password'
  for (let n = 0; n < 20; n++) {
    const next = `password ${n}`
    assert.ok((await letPasswordIn(store, current, next, { cost: cheap })).slot)
    assert.ok(await opens(store, current), 'until it is closed')
    const { slot, closed } = await keepOnlyPassword(store, next, next, { cost: cheap })
    assert.is(slot, undefined)
    assert.is(closed.length, 1)
    assert.not.ok(await opens(store, current))
    assert.is(slotsOf(store).length, 2)
    current = next
  }
  assert.ok(await opens(store, current))
  assert.ok(await opens(store, 'words'))
})

test('a password whose slot would never be tried is refused before it is written, and no attack is reported', async () => {
  const store = aStore()
  await createRepository(store, 'lost password', undefined, { scrypt: cheap })
  await leftPasswords(store, 15, DEFAULT_SCRYPT)
  assert.ok((await letPasswordIn(store, 'lost password', 'the last that fits', { cost: cheap })).slot)
  const before = slotsOf(store)
  const error: unknown = await letPasswordIn(store, 'lost password', 'one more').catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TerminalError && error.reason === 'KeySlotsFull', String(error))
  assert.match(error.message, '--close-others')
  assert.not.match(error.message, /somebody|planted/)
  assert.equal(slotsOf(store), before)
})

test('with sixty-four slots the next one would not be read: it is refused as well', async () => {
  const store = await aRepository(undefined)
  await leftPasswords(store, 63)
  await refused(letPasswordIn(store, 'lost password', 'one more', { cost: cheap }), 'KeySlotsFull')
  assert.is(slotsOf(store).length, 64)
})

test('behind forty passwords a recovery key opens it, and closes them with a new one', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const store = aStore()
  await createRepository(store, 'lost password', undefined, { scrypt: cheap })
  await leftPasswords(store, 40, DEFAULT_SCRYPT)
  const { keys } = await requireRepository(store, 'lost password')
  await addRecoverySlot(store, keys, { kind: 'publicKey', pem: publicKey })
  assert.ok(await opens(store, privateKey))
  const { slot, closed } = await keepOnlyPassword(store, privateKey, 'new', { cost: cheap })
  assert.ok(slot)
  assert.is(closed.length, 41)
  assert.is(slotsOf(store).length, 2)
  for (const secret of ['new', privateKey]) assert.ok(await opens(store, secret))
})

test('a process that dies while it closes other passwords leaves the kept one, and a second run does the rest', async () => {
  for (const when of ['die before', 'die after'] as const) {
    for (let n = 1; n <= 4; n++) {
      const store = await aRepository({ kind: 'passphrase', passphrase: 'words' })
      for (const password of ['b', 'c']) await letPasswordIn(store, 'words', password, { cost: cheap })
      const dying = new HookedStore(store, async (write) => (write.n === n ? when : 'go on'))
      await keepOnlyPassword(dying, 'words', 'new', { cost: cheap }).catch(() => {})
      assert.ok((await opens(store, 'new')) || (await opens(store, 'lost password')), `${when} write ${n}`)
      await keepOnlyPassword(store, 'words', 'new', { cost: cheap })
      assert.is(slotsOf(store).length, 2)
      assert.ok((await opens(store, 'new')) && (await opens(store, 'words')))
    }
  }
})

test('when two commands keep different passwords at the same time, one password stays', async () => {
  const store = await aRepository(undefined)
  await letPasswordIn(store, 'lost password', 'b', { cost: cheap })
  let isFirst = true
  const beside = new HookedStore(store, async ({ kind }) => {
    if (kind === 'delete' && isFirst) {
      isFirst = false
      await keepOnlyPassword(store, 'b', 'b', { cost: cheap })
    }
    return 'go on'
  })
  await keepOnlyPassword(beside, 'lost password', 'lost password', { cost: cheap })
  assert.ok((await opens(store, 'b')) || (await opens(store, 'lost password')))
})

test("the others are closed only when the password to keep is the Secret's, or the operator says that it differs", async () => {
  const secrets = async () => 'in the Secret'
  await requireSecretsPassword({ closeOthers: true }, 'in the Secret', secrets)
  await refused(requireSecretsPassword({ closeOthers: true }, 'new', secrets), 'UsageInvalid')
  await requireSecretsPassword({ closeOthers: true, secretDiffers: true }, 'new', secrets)
  // Without a cluster there is no Secret to compare with.
  await requireSecretsPassword({ closeOthers: true, parameter: ['bucket=b'] }, 'new', secrets)
})

test.run()
