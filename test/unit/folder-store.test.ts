// The store in a folder: which folders it accepts, how it refuses the others, and what a crash leaves.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type DormouseError, RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'
import { linkIfAbsent } from '#shared/repository/stores/folder/durable.ts'
import { folderError, linkError } from '#shared/repository/stores/folder/errors.ts'
import { folder as kind } from '#shared/repository/stores/folder/kind.ts'
import { loadStores } from '#shared/repository/stores/open.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import { access, EngineWorld } from '#test/support/engine-world.ts'
import { reasonOf } from '#test/support/reason.ts'
import { folderStore } from '#test/support/stores.ts'

const test = suite('a store in a folder')
const folder = mkdtempSync(join(tmpdir(), 'dormouse-folder-store-'))
const given = join(folder, 'given')
const open = await loadStores()

const of = (parameters: Record<string, string>) => ({ driver: kind.driver, parameters })
const settingsOf = (path: string, folderStores: string | undefined = given) =>
  createStores({ folderStores }).settingsFrom(of({ path }), new Map()).settings
const refused = (reason: string, words: string) => (error: DormouseError) =>
  error.reason === reason && error.message.includes(words)

test.before(() => {
  mkdirSync(join(given, 'inside'), { recursive: true })
  mkdirSync(join(folder, 'outside'))
  mkdirSync(join(folder, 'given-too'))
})
test.after(() => rmSync(folder, { recursive: true }))

const unusable: [string, Record<string, string>, parameter: string][] = [
  ['no path', {}, 'path'],
  ['an empty path', { path: '' }, 'path'],
  ['a relative path', { path: 'backups/a' }, 'path'],
  ['a path that leads out of itself', { path: '/backups/a/../../etc' }, 'path'],
  ['a control character', { path: '/backups/a\nb' }, 'path'],
  ['a path without end', { path: `/${'a'.repeat(5000)}` }, 'path'],
  ['a location beside it', { path: '/backups/a', backupStorageLocation: 'default' }, 'backupStorageLocation'],
  [
    'the Secret of the store credentials as key',
    { path: '/backups/a', encryptionSecretName: 'cloud-credentials' },
    'encryptionSecretName',
  ],
]
for (const [what, parameters, parameter] of unusable) {
  test(`${what} is refused by its name`, () => {
    const words = `repository parameter ${parameter}:`
    assert.throws(
      () => createStores({ folderStores: '/backups' }).parse(of(parameters)),
      refused('RepositoryParametersInvalid', words),
    )
  })
}

test('an unknown parameter gives a warning', () => {
  const { warnings } = createStores({ folderStores: '/backups' }).parse(of({ path: '/backups/a', bucket: 'b' }))
  assert.match(warnings[0]?.text ?? '', /: bucket$/)
})

test('without a folder that is given to stores each one is refused, and the setting is named', () => {
  const { parse, settingsFrom } = createStores({ folderStores: undefined })
  assert.is(parse(of({ path: join(given, 'inside') })).encryptionSecretName, 'dormouse-repository-key')
  assert.throws(
    () => settingsFrom(of({ path: join(given, 'inside') }), new Map()),
    refused('FolderNotAllowed', 'DORMOUSE_FOLDER_STORES'),
  )
})

test('only what is below the given folder is taken: not that folder, and not one whose name begins alike', () => {
  for (const path of [given, `${given}/`, join(folder, 'outside'), join(folder, 'given-too'), '/'])
    assert.throws(() => settingsOf(path), refused('FolderNotAllowed', given), path)
  assert.equal(settingsOf(`${given}//inside/./`), { kind: 'folder', path: join(given, 'inside'), within: given })
})

test('a link that leads out of the given folder is refused before anything is read or written there', async () => {
  symlinkSync(join(folder, 'outside'), join(given, 'link'))
  const store = open(settingsOf(join(given, 'link')))
  assert.is(await reasonOf(store.get('config')), 'FolderNotAllowed')
  assert.is(await reasonOf(store.putIfAbsent('config', Buffer.from('x'))), 'FolderNotAllowed')
  assert.equal(readdirSync(join(folder, 'outside')), [])
  symlinkSync(join(given, 'inside'), join(given, 'link-inside'))
  assert.is(await open(settingsOf(join(given, 'link-inside'))).get('config'), undefined)
})

test('a missing folder is never created: its volume may not be mounted', async () => {
  const store = open(settingsOf(join(given, 'missing')))
  const calls = [store.get('config'), store.putIfAbsent('config', Buffer.from('x')), store.delete('config')]
  assert.equal(
    await Promise.all(calls.map(reasonOf)),
    calls.map(() => 'StoreUnavailable'),
  )
  assert.is(await reasonOf(Array.fromAsync(store.list(''))), 'StoreUnavailable')
  assert.not(existsSync(join(given, 'missing')))
})

test('a file is no folder', async () => {
  writeFileSync(join(given, 'file'), '')
  assert.is(await reasonOf(open(settingsOf(join(given, 'file'))).get('config')), 'FolderNotAllowed')
})

test('a folder without write permission gives a terminal error that names the user who needs it', async () => {
  const store = open(settingsOf('/sys/kernel', '/sys'))
  const error: unknown = await store.putIfAbsent('config', Buffer.from('x')).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TerminalError && error.reason === 'StoreRefused', String(error))
})

test('each error of a file system gets a message with the fix, and only temporary ones are retried', () => {
  const told = (code: string, translate = folderError) => translate('put a', Object.assign(new Error(code), { code }))
  const table: [unknown, typeof RetryableError | typeof TerminalError, string, RegExp][] = [
    [told('EACCES'), TerminalError, 'StoreRefused', /user \d+ or group \d+ write there; on NFS/],
    [told('EROFS'), TerminalError, 'StoreRefused', /read-only$/],
    [told('ENOSPC'), RetryableError, 'StoreUnavailable', /full/],
    [told('EDQUOT'), RetryableError, 'StoreUnavailable', /quota/],
    [told('ESTALE'), RetryableError, 'StoreUnavailable', /NFS/],
    [told('EMFILE'), RetryableError, 'StoreUnavailable', /EMFILE/],
    [told('EPERM', linkError), TerminalError, 'StoreUnsupported', /hard links/],
    [told('ENOSPC', linkError), RetryableError, 'StoreUnavailable', /full/],
  ]
  for (const [error, wanted, reason, words] of table) {
    assert.instance(error, wanted)
    assert.is((error as DormouseError).reason, reason)
    assert.match((error as Error).message, words)
  }
  const bug = new TypeError('a bug')
  assert.is(folderError('put a', bug), bug)
})

test('a link that was made although its answer was lost is recognised by its file', async () => {
  const [partial, path] = [join(given, 'partial'), join(given, 'object')]
  writeFileSync(partial, 'mine')
  linkSync(partial, path)
  assert.is(await linkIfAbsent(partial, path, 'put'), true)
  writeFileSync(join(given, 'other'), 'other')
  linkSync(join(given, 'other'), join(given, 'copy-of-other'))
  assert.is(await linkIfAbsent(join(given, 'other'), path, 'put'), false, 'whoever made another link to it')
  assert.is(readFileSync(path, 'utf8'), 'mine')
})

const messageOf = async (call: Promise<unknown>): Promise<string> =>
  await call.then(
    () => 'no error',
    (error: DormouseError) => `${error.reason}: ${error.message}`,
  )
/** What every call that uses `key` ends with, the list last. */
const messagesOf = async (store: ReturnType<typeof folderStore>, key: string): Promise<string[]> => {
  const calls = [
    store.get(key),
    store.getRange(key, 0, 9),
    store.putIfAbsent(key, Buffer.from('x')),
    store.delete(key),
    Array.fromAsync(store.list(key)),
  ]
  return await Promise.all(calls.map(messageOf))
}

test('nothing is read, listed, written or deleted through a link below the folder, and each refusal names the link', async () => {
  const [own, others] = [join(given, 'linked'), join(folder, 'of-others')]
  const store = folderStore(own)
  mkdirSync(join(others, 'deep'), { recursive: true })
  for (const name of ['a', 'deep/a']) writeFileSync(join(others, name), 'of others')
  symlinkSync(others, join(own, 'probe'))
  mkdirSync(join(own, 'packs'))
  symlinkSync(join(others, 'deep'), join(own, 'packs', 's'))
  for (const [key, link] of [
    ['probe/a', 'probe'],
    ['probe/new', 'probe'],
    ['packs/s/a', 'packs/s'],
  ] as const)
    for (const message of await messagesOf(store, key))
      assert.match(message, new RegExp(`^FolderNotAllowed: .*/linked/${link} is a symbolic link`))
  for (const prefix of ['packs/', 'probe/', ''])
    assert.is(
      await reasonOf(Array.fromAsync(store.list(prefix))),
      'FolderNotAllowed',
      `"${prefix}" does not look empty`,
    )
  assert.equal(readdirSync(others, { recursive: true }).sort(), ['a', 'deep', 'deep/a'])
})

test('only a regular file is an object: a link, a folder or a pipe is neither opened nor replaced nor deleted', async () => {
  const own = join(given, 'no-files')
  const store = folderStore(own)
  writeFileSync(join(folder, 'secret'), 'hunter2')
  symlinkSync(join(folder, 'secret'), join(own, 'a-link'))
  symlinkSync(join(folder, 'nowhere'), join(own, 'b-link-to-nothing'))
  mkdirSync(join(own, 'c-folder'))
  execFileSync('mkfifo', [join(own, 'd-pipe')])
  for (const [key, what] of [
    ['a-link', 'a symbolic link'],
    ['b-link-to-nothing', 'a symbolic link'],
    ['c-folder', 'a folder'],
    ['d-pipe', 'a named pipe'],
  ] as const)
    for (const [index, message] of (await messagesOf(store, key)).entries()) {
      assert.not.match(message, /hunter2/)
      // A list looks for objects in a folder.
      const isListed = what === 'a folder' && index === 4
      assert.match(message, isListed ? /^no error$/ : new RegExp(`^FolderNotAllowed: .*/no-files/${key} is ${what}`))
    }
  assert.equal(readdirSync(own).sort(), ['a-link', 'b-link-to-nothing', 'c-folder', 'd-pipe'])
  writeFileSync(join(own, 'packs'), '')
  assert.match(await messageOf(store.get('packs/s/a')), /no-files\/packs is a file/)
})

test('files and folders whose names begin with a dot are no objects, wherever they are', async () => {
  const own = join(given, 'dots')
  const store = folderStore(own)
  await store.putIfAbsent('packs/s/a', Buffer.from('x'))
  for (const place of ['', 'packs', 'packs/s']) {
    writeFileSync(join(own, place, '.nfs0000000000a1b2c3'), '')
    mkdirSync(join(own, place, '.snapshot'))
    writeFileSync(join(own, place, '.snapshot', 'a'), '')
  }
  for (const prefix of ['', 'packs/', 'packs/s/', 'packs/s/a'])
    assert.equal(
      (await Array.fromAsync(store.list(prefix))).map(({ key }) => key),
      ['packs/s/a'],
    )
  assert.is(await reasonOf(Array.fromAsync(store.list('packs/../'))), 'ObjectNameInvalid')
})

test('a folder goes with its last object, unless it is of the first level or holds anything else', async () => {
  const own = join(given, 'emptied')
  const store = folderStore(own)
  for (const key of ['packs/s/a', 'packs/s/b', 'packs/t/a']) await store.putIfAbsent(key, Buffer.from('x'))
  writeFileSync(join(own, 'packs/t/.nfs01'), '')
  for (const key of ['packs/s/a', 'packs/t/a']) await store.delete(key)
  assert.equal(readdirSync(join(own, 'packs')).sort(), ['s', 't'])
  await store.delete('packs/s/b')
  assert.equal(readdirSync(join(own, 'packs')), ['t'])
  assert.is(await store.putIfAbsent('packs/s/b', Buffer.from('x')), true, 'the folder is made again')
  await store.putIfAbsent('roots/a', Buffer.from('x'))
  await store.delete('roots/a')
  assert.ok(existsSync(join(own, 'roots')))
})

test('objects that are put while others of their folder are deleted are all there', async () => {
  const own = join(given, 'busy')
  const stores = [folderStore(own), folderStore(own)]
  await Promise.all(
    Array.from({ length: 4 }, async (_, writer) => {
      const store = stores[writer % 2]!
      for (let n = 0; n < 15; n++) {
        const key = `packs/s/${writer}-${n}`
        assert.is(await store.putIfAbsent(key, Buffer.from(key)), true)
        assert.is(Buffer.from((await store.get(key)) ?? []).toString(), key)
        await store.delete(key)
      }
    }),
  )
  assert.equal(readdirSync(join(own, 'packs')), [])
})

test('a folder of more names than a repository has is not read to its end, and one without a bottom is not entered for ever', async () => {
  const own = join(given, 'flooded')
  const store = folderStore(own)
  mkdirSync(join(own, 'retire'))
  writeFileSync(join(own, 'retire', 'a'), '')
  for (let n = 0; n < 10_000; n++) linkSync(join(own, 'retire', 'a'), join(own, 'retire', String(n)))
  assert.match(await messageOf(Array.fromAsync(store.list('retire/'))), /^RepositoryFlooded: .*more than 10000 names/)
  mkdirSync(join(own, `packs${'/p'.repeat(40)}`), { recursive: true })
  assert.match(await messageOf(Array.fromAsync(store.list('packs/'))), /^RepositoryFlooded: .*folders within folders/)
})

test('prune deletes no file below probe/ that Dormouse did not name', async () => {
  const own = join(given, 'probes')
  const { repositories } = await EngineWorld.create(folderStore(own))
  const names = ['0011223344556677', 'report.pdf']
  const longAgo = (Date.now() - DAY_MS) / 1000
  mkdirSync(join(own, 'probe'), { recursive: true })
  for (const name of names) {
    writeFileSync(join(own, 'probe', name), '')
    utimesSync(join(own, 'probe', name), longAgo, longAgo)
  }
  await repositories.prune(access, { sliceMs: HOUR_MS, sessionIdleMs: DAY_MS })
  assert.equal(readdirSync(join(own, 'probe')), ['report.pdf'])
})

test('what a crash has left half-written is in no list, and prune removes it once it is old', async () => {
  const path = join(given, 'crashed')
  const store = folderStore(path)
  const { repositories } = await EngineWorld.create(store)
  const partial = join(path, '.partial-0011223344556677')
  writeFileSync(partial, 'half')
  const keys = (await Array.fromAsync(store.list(''))).map(({ key }) => key)
  assert.not(keys.some((key) => key.includes('partial')))
  const found = await Array.fromAsync(store.incompleteUploads?.list() ?? [])
  assert.equal(
    found.map(({ id }) => id),
    ['.partial-0011223344556677'],
  )
  const slice = { sliceMs: HOUR_MS, sessionIdleMs: DAY_MS }
  await repositories.prune(access, slice)
  assert.ok(existsSync(partial), 'it may still be written')
  const longAgo = (Date.now() - 8 * DAY_MS) / 1000
  utimesSync(partial, longAgo, longAgo)
  await repositories.prune(access, slice)
  assert.not(existsSync(partial))
  for (const id of ['config', '.partial-/../config'])
    assert.is(
      await reasonOf(store.incompleteUploads?.abort({ key: id, id, startedMs: 0 }) ?? Promise.resolve()),
      'ObjectNameInvalid',
    )
  assert.ok(existsSync(join(path, 'config')))
})

test.run()
