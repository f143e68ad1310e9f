// The host's answer to each call of Velero, over a real socket, read by a client with message tables of its own.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MessageValue } from '#shared/domain/protobuf.ts'
import { killLeftPlugins, type Plugin, readError, startPlugin } from './go-plugin-client.ts'

const test = suite('calls of Velero to its plugin')

const UNKNOWN = 2
const ZERO_TIME = { seconds: -62_135_596_800, nanos: 0 }
const run = (annotations = {}) => JSON.stringify({ kind: 'Backup', metadata: { name: 'nightly', annotations } })
const item = (fields: object = {}) =>
  JSON.stringify({ kind: 'PersistentVolumeClaim', metadata: { name: 'data', namespace: 'shop' }, ...fields })
const PVC = { group: '', resource: 'persistentvolumeclaims', namespace: 'shop', name: 'data' }
const SELECTOR = {
  includedNamespaces: ['shop'],
  excludedNamespaces: ['kube-system'],
  includedResources: ['persistentvolumeclaims'],
  excludedResources: ['pods'],
  selector: 'app=shop',
}
const BACKUP = { plugin: 'dormouse.dev/tiny-backup', backup: run() }
const RESTORE = { plugin: 'dormouse.dev/tiny-restore', restore: run() }
const DELETE = { plugin: 'dormouse.dev/tiny-delete', backup: run() }

const EXECUTES = [
  ['/v2.BackupItemAction/Execute', BACKUP],
  ['/v2.RestoreItemAction/Execute', { ...RESTORE, itemFromBackup: item() }],
  ['/generated.DeleteItemAction/Execute', DELETE],
] as const
const PROGRESSES = [
  ['/v2.BackupItemAction/Progress', BACKUP],
  ['/v2.RestoreItemAction/Progress', RESTORE],
] as const

let folder = ''
let plugin: Plugin

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'))
  plugin = await startPlugin({ env: { TMPDIR: folder } })
})
test.after(() => {
  killLeftPlugins()
  rmSync(folder, { recursive: true, force: true })
})

/** The error of a call that must fail. */
async function refusal(path: string, request: MessageValue) {
  const error = await plugin.call(path, request).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error, `${path} did not fail`)
  return readError(error)
}

async function progressOf(path: string, request: MessageValue): Promise<MessageValue> {
  const { progress } = (await plugin.call(path, request)) as { progress?: MessageValue }
  assert.ok(progress, 'a response without a progress ends the Velero server')
  assert.ok(progress['started'] && progress['updated'], 'a missing time is read as 1970')
  return progress
}

test('ListPlugins names each action with its kind, and the path by which Velero starts it again', async () => {
  const command = plugin.child.spawnargs[1]
  assert.equal(await plugin.call('/generated.PluginLister/ListPlugins', {}), {
    plugins: [
      { command, kind: 'BackupItemActionV2', name: 'dormouse.dev/tiny-backup' },
      { command, kind: 'RestoreItemActionV2', name: 'dormouse.dev/tiny-restore' },
      { command, kind: 'DeleteItemAction', name: 'dormouse.dev/tiny-delete' },
      { command, kind: 'VolumeSnapshotter', name: 'dormouse.dev/tiny-snapshotter' },
    ],
  })
})

test('AppliesTo gives the whole selector of each kind', async () => {
  for (const [service, name] of [
    ['v2.BackupItemAction', 'tiny-backup'],
    ['v2.RestoreItemAction', 'tiny-restore'],
    ['generated.DeleteItemAction', 'tiny-delete'],
  ]) {
    const answer = await plugin.call(`/${service}/AppliesTo`, { plugin: `dormouse.dev/${name}` })
    assert.equal(answer, { ResourceSelector: SELECTOR })
  }
})

test('Execute of a backup gives the changed item, what goes with it and the operation', async () => {
  const { item: changed, ...rest } = await plugin.call('/v2.BackupItemAction/Execute', {
    ...BACKUP,
    item: item({ do: 'label', spec: { volumeName: 'pv-ä' } }),
  })
  assert.equal(JSON.parse(String(changed)), {
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data', namespace: 'shop', labels: { seen: 'yes' } },
    do: 'label',
    spec: { volumeName: 'pv-ä' },
  })
  assert.equal(rest, { additionalItems: [PVC], operationID: 'of-nightly', postOperationItems: [PVC, PVC] })
})

test('an item that was left alone goes back byte for byte, with numbers that JavaScript cannot hold', async () => {
  const sent = '{ "kind": "Pod", "metadata":{"name":"p"}, "big": 9223372036854775807, "one": 1.0, "\\u00e4": 1e400 }'
  const answer = await plugin.call('/v2.BackupItemAction/Execute', { ...BACKUP, item: sent })
  assert.is(answer['item'], sent)
})

test('Execute of a restore sees both items and gives all six fields', async () => {
  const { item: changed, ...rest } = await plugin.call('/v2.RestoreItemAction/Execute', {
    ...RESTORE,
    item: item({ do: 'label' }),
    itemFromBackup: item({ do: 'original' }),
  })
  const { kind, from } = JSON.parse(String(changed))
  assert.equal([kind, from], ['PersistentVolumeClaim', 'original'])
  assert.equal(rest, {
    additionalItems: [PVC],
    skipRestore: true,
    operationID: 'of-nightly',
    waitForAdditionalItems: false,
    additionalItemsReadyTimeout: { seconds: 0, nanos: 0 },
  })
})

test('the additional items of a restore are never waited for', async () => {
  const request = { ...RESTORE, additionalItems: [PVC] }
  assert.equal(await plugin.call('/v2.RestoreItemAction/AreAdditionalItemsReady', request), { ready: true })
})

test('Execute of a deletion gives the empty message', async () => {
  assert.equal(await plugin.call('/generated.DeleteItemAction/Execute', { ...DELETE, item: item() }), {})
})

test('Velero takes no snapshot through the old snapshotter, and reads why it cannot use one', async () => {
  const request = { plugin: 'dormouse.dev/tiny-snapshotter', snapshotID: 'ivd:a:b' }
  const service = '/generated.VolumeSnapshotter'
  assert.equal(await plugin.call(`${service}/Init`, request), {})
  // An empty text is left out on the wire.
  assert.is((await plugin.call(`${service}/GetVolumeID`, request))['volumeID'] ?? '', '')
  for (const [method, what] of [
    ['CreateVolumeFromSnapshot', 'restored'],
    ['DeleteSnapshot', 'deleted'],
  ])
    assert.is((await refusal(`${service}/${method}`, request)).details, `TooOld: ivd:a:b is not ${what}`)
  const stranger = { ...request, plugin: 'velero.io/other' }
  assert.match(
    (await refusal(`${service}/Init`, stranger)).details,
    /there is no VolumeSnapshotter "velero\.io\/other"/,
  )
})

test('an item of 20 MiB passes', async () => {
  const data = 'x'.repeat(20 * 1024 * 1024)
  const sent = item({ do: 'label', data })
  const answer = await plugin.call('/v2.BackupItemAction/Execute', { ...BACKUP, item: sent })
  assert.ok(String(answer['item']).includes(data))
})

for (const [path, request] of EXECUTES) {
  test(`${path}: a thrown error is UNKNOWN with its reason and words, and its stack begins where it was thrown`, async () => {
    const why = 'disk fcd-1 of "ä/b": 50 % …\nsecond line'
    const { code, details, frames } = await refusal(path, { ...request, item: item({ do: 'throw', why }) })
    assert.equal([code, details], [UNKNOWN, `NoSuchDisk: ${why}`])
    const [first] = frames
    assert.match(String(first?.['file']), /^\/.*\/tiny-plugin\.ts$/)
    assert.is(first?.['function'], 'throwsHere')
    assert.ok(Number(first?.['line']) > 20)
  })

  test(`${path}: a thrown value that is no error is reported too`, async () => {
    const { code, details, frames } = await refusal(path, { ...request, item: item({ do: 'throw-text' }) })
    assert.equal([code, details, frames], [UNKNOWN, 'thrown value: just words', []])
  })

  test(`${path}: an error of any length and any characters arrives`, async () => {
    for (const why of ['😀'.repeat(500_000), '\ud800 half', '\0\x1b\x7f', '']) {
      const { code, details } = await refusal(path, { ...request, item: item({ do: 'throw', why }) })
      assert.is(code, UNKNOWN)
      assert.ok(details.length > 0 && details.length < 4000, `${details.length}`)
    }
  })

  test(`${path}: a plugin that is not there is named, with those that are`, async () => {
    const { details } = await refusal(path, { ...request, plugin: 'velero.io/other', item: item() })
    assert.match(details, /there is no \w+ "velero\.io\/other" here; there is: dormouse\.dev\/tiny-\w+$/)
  })

  test(`${path}: each object of the request that is none is named`, async () => {
    for (const [field, sent] of Object.entries({ ...request, item: item() })) {
      if (field === 'plugin') continue
      for (const broken of ['', '{"kind":', '[]', 'null', '5', '"text"']) {
        const { code, details } = await refusal(path, { ...request, item: item(), [field]: broken })
        assert.is(code, UNKNOWN)
        assert.match(details, `"${field}" of the request is no JSON object`, `${sent} as ${broken}`)
      }
    }
  })

  test(`${path}: what hangs ends some time after the resource timeout of the run, and the error says of what`, async () => {
    const annotations = { 'velero.io/resource-timeout': '150ms' }
    const limited = {
      ...request,
      ...('restore' in request ? { restore: run(annotations) } : { backup: run(annotations) }),
    }
    const startMs = performance.now()
    const { code, details } = await refusal(path, { ...limited, item: item({ do: 'hang' }) })
    const tookMs = performance.now() - startMs
    assert.is(code, UNKNOWN)
    assert.match(details, /tiny-\w+ for PersistentVolumeClaim shop\/data did not end within 0\.3 s/)
    assert.ok(tookMs >= 149 && tookMs < 3000, `${tookMs} ms`)
  })
}

test('an item without a kind never reaches Velero', async () => {
  for (const [path, request] of EXECUTES.slice(0, 2)) {
    const { details } = await refusal(path, { ...request, item: item({ do: 'drop-kind' }) })
    assert.match(details, 'gave back an item without a kind')
  }
})

for (const [path, request] of PROGRESSES) {
  test(`${path}: bytes and times arrive as they were given`, async () => {
    assert.equal(await progressOf(path, { ...request, operationID: 'moving' }), {
      nCompleted: 3_000_000_000,
      nTotal: 9_007_199_254_740_991,
      operationUnits: 'Bytes',
      description: 'uploading',
      started: { seconds: 1_700_000_000, nanos: 123_000_000 },
      updated: { seconds: 1_700_000_001, nanos: 0 },
      completed: false,
      err: '',
    })
  })

  test(`${path}: what has not begun has Go's zero time`, async () => {
    const { started, updated } = await progressOf(path, { ...request, operationID: 'new' })
    assert.equal([started, updated], [ZERO_TIME, ZERO_TIME])
  })

  test(`${path}: a failed operation is completed with its error`, async () => {
    const { completed, err } = await progressOf(path, { ...request, operationID: 'failed' })
    assert.equal([completed, err], [true, 'UploadFailedAfterRetry: the datastore is gone'])
  })

  for (const [operationID, words] of [
    ['passing', 'ApiUnavailable: the API server is away'],
    ['conflict', 'Changed: someone wrote first'],
    ['bug', 'x is undefined'],
    ['nothing', 'undefined'],
  ] as const) {
    test(`${path}: trouble that may pass (${operationID}) is a progress that goes on and names it`, async () => {
      const { completed, err, description } = await progressOf(path, { ...request, operationID })
      assert.equal([completed, err], [false, ''])
      assert.match(String(description), words)
      await plugin.line(
        (line) => line['@level'] === 'warn' && (line['error'] ?? '').includes(words.split(': ').at(-1) ?? ''),
      )
    })
  }

  test(`${path}: what no retry helps is completed with the error`, async () => {
    const { completed, err } = await progressOf(path, { ...request, operationID: 'hopeless' })
    assert.equal([completed, err], [true, 'UploadNotFound: there is no Upload u1'])
  })

  test(`${path}: a plugin that is not there and a run that is no object are errors`, async () => {
    const unknown = await refusal(path, { ...request, operationID: 'x', plugin: 'velero.io/other' })
    assert.match(unknown.details, '"velero.io/other"')
    const field = 'restore' in request ? 'restore' : 'backup'
    const broken = await refusal(path, { ...request, operationID: 'x', [field]: '[]' })
    assert.match(broken.details, `"${field}" of the request`)
  })

  test(`${path.replace('Progress', 'Cancel')}: it reaches the action, and its error reaches Velero`, async () => {
    const cancel = path.replace('Progress', 'Cancel')
    assert.equal(await plugin.call(cancel, { ...request, operationID: 'moving' }), {})
    await plugin.line((line) => line['@message'] === 'canceled moving' && line['plugin'] === request.plugin)
    const { details } = await refusal(cancel, { ...request, operationID: 'stubborn' })
    assert.is(details, 'ApiUnavailable: the API server is away')
  })
}

test('calls run side by side: the slowest of many sets the time, and each gets its own answer', async () => {
  const startMs = performance.now()
  const names = Array.from({ length: 40 }, (_, index) => `run-${index}`)
  const answers = await Promise.all(
    names.map((name) =>
      plugin.call('/v2.BackupItemAction/Execute', {
        ...BACKUP,
        item: item({ do: 'sleep', ms: 200, name }),
        backup: JSON.stringify({ kind: 'Backup', metadata: { name } }),
      }),
    ),
  )
  assert.equal(
    answers.map(({ operationID, item: back }) => [operationID, JSON.parse(String(back)).name]),
    names.map((name) => [`of-${name}`, name]),
  )
  assert.ok(performance.now() - startMs < (40 * 200) / 2)
})

test('bytes that are no message are an error, and the next call is answered', async () => {
  const { details } = await plugin
    .callBytes('/v2.BackupItemAction/Execute', Buffer.from([0x0a, 0xff]))
    .then(() => ({ details: 'answered' }), readError)
  assert.match(details, /index out of range|invalid/)
  assert.equal(await plugin.call('/grpc.health.v1.Health/Check', { service: '' }), { status: 1 })
})

test.run()
