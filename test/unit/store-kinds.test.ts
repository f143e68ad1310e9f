// The rules that every kind of store has to keep: those of the registry, and one driver and one tag for each.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BackupStorageLocation } from '#shared/api/types.ts'
import type { DormouseError } from '#shared/kernel/errors.ts'
import { loadStores, openStore } from '#shared/repository/stores/open.ts'
import { createStores, STORE_KINDS } from '#shared/repository/stores/registry.ts'

const test = suite('kinds of store')
const stores = createStores({ folderStores: '/backups' })
const EXAMPLES: Record<(typeof STORE_KINDS)[number]['kind'], [Record<string, string>, other: Record<string, string>]> =
  {
    s3: [{ bucket: 'backups' }, { bucket: 'backups', prefix: 'x' }],
    folder: [{ path: '/backups/a' }, { path: '/backups/b' }],
  }
const isInvalid = (parameter: string) => (error: DormouseError) =>
  error.reason === 'RepositoryParametersInvalid' && error.message.startsWith(`repository parameter ${parameter}:`)

for (const { kind, driver } of STORE_KINDS) {
  const [parameters, other] = EXAMPLES[kind]
  const spec = { driver, parameters }
  const settings = stores.settingsFrom(spec, new Map()).settings

  test(`${kind}: its settings carry its tag, are plain data, and are opened by it`, async () => {
    assert.is(settings.kind, kind)
    assert.equal(structuredClone(settings), settings)
    const location = (await openStore(settings)).location
    assert.match(location, /^\w+:\/\//)
    assert.is((await loadStores())(settings).location, location)
  })

  test(`${kind}: a place is the same in parameters and in settings, and another one is not`, () => {
    assert.is(stores.placeOfSettings(settings), stores.placeOf(spec))
    assert.is.not(stores.placeOf({ driver, parameters: other }), stores.placeOf(spec))
    assert.ok(stores.placeText(spec).length > 0)
  })

  test(`${kind}: a value has a length before anything looks at it`, () => {
    const key = Object.keys(parameters)[0] ?? ''
    for (const name of [key, 'encryptionSecretName', 'unknown'])
      assert.throws(
        () => stores.parse({ driver, parameters: { ...parameters, [name]: 'a'.repeat(5000) } }),
        isInvalid(name),
      )
  })

  test(`${kind}: its key lies in a Secret of its own`, () => {
    const isKnown = (name: string) =>
      stores.parse({ driver, parameters: { ...parameters, encryptionSecretName: name } })
    assert.is(isKnown('my-key').encryptionSecretName, 'my-key')
    assert.is(stores.parse(spec).encryptionSecretName, 'dormouse-repository-key')
    for (const name of ['cloud-credentials', 'velero-vsphere-config-secret'])
      assert.throws(() => isKnown(name), isInvalid('encryptionSecretName'))
  })
}

test('no two kinds share a tag or a driver, and places of two kinds are never the same', () => {
  assert.is(new Set(STORE_KINDS.map(({ kind }) => kind)).size, STORE_KINDS.length)
  assert.is(new Set(STORE_KINDS.map(({ driver }) => driver)).size, STORE_KINDS.length)
  const places = STORE_KINDS.map(({ kind, driver }) => stores.placeOf({ driver, parameters: EXAMPLES[kind][0] }))
  assert.is(new Set(places).size, STORE_KINDS.length)
})

test('a driver that names no kind is refused with those that do', () => {
  for (const driver of ['', 'of my own', 'constructor'])
    assert.throws(() => stores.parse({ driver, parameters: {} }), isInvalid('repositoryDriver'))
})

test('settings of an unknown kind are refused', async () => {
  for (const kind of ['memory', 'constructor'])
    assert.match(String(await openStore({ kind }).catch((error: unknown) => error)), /no store of kind/)
})

test('only a location of a provider of ours leads to a store', () => {
  const location = (provider: string): BackupStorageLocation => ({
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero' },
    spec: { provider, objectStorage: { bucket: 'backups' } },
  })
  for (const provider of ['aws', 'velero.io/aws']) {
    assert.ok(stores.isUsable(location(provider)))
    assert.is(stores.specOf(location(provider)).driver, 's3repository.astrolabe.vmware-tanzu.com')
  }
  for (const provider of ['azure', 'folder', 'folder.dormouse.dev', 'dormouse.dev/folder', '']) {
    assert.not(stores.isUsable(location(provider)))
    assert.throws(() => stores.specOf(location(provider)), isInvalid('provider'))
  }
})

test.run()
