// Checks of the plugin's file for each architecture.

import { execFileSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import { type PluginOptions, startPlugin } from '#test/unit/velero/go-plugin-client.ts'
import { type Architecture, nodeFor } from '../../../hack/node-binary.ts'
import { versionsNeeded } from './elf-versions.ts'
import { builtPlugin } from './plugin-file.ts'

const NAMES = [
  'BackupItemActionV2 velero.io/vsphere-pvc-backupper',
  'DeleteItemAction velero.io/vsphere-pvc-deleter',
  'RestoreItemActionV2 velero.io/vsphere-pvc-restorer',
  'RestoreItemActionV2 velero.io/vsphere-pv-restorer',
  'RestoreItemActionV2 velero.io/vsphere-item-restorer',
  'VolumeSnapshotter velero.io/vsphere',
]

/** Checks handshake, list and end. `command` is the path that Velero would execute later. */
export async function assertListed(
  options: PluginOptions,
): Promise<{ network: string; address: string; command: string }> {
  const plugin = await startPlugin(options)
  const { plugins } = await plugin.call('/generated.PluginLister/ListPlugins', {})
  const list = plugins as { command: string; kind: string; name: string }[]
  assert.equal(
    list.map(({ kind, name }) => `${kind} ${name}`),
    NAMES,
  )
  assert.is((await plugin.shutdown()).code, 0)
  assert.equal([plugin.stdout.length, plugin.log()], [1, []])
  return { ...plugin.handshake, command: list[0]?.command ?? '' }
}

const LIBRARY = /^(ld-linux-.*|lib(c|m|dl|pthread|stdc\+\+|gcc_s))\.so\.\d$/
const VERSION = /\b(?:GLIBC|GLIBCXX|CXXABI|GCC)_[\w.]+/g
/** The versions in Velero's images from 1.17.2 on (Ubuntu 22.04). */
const NEWEST: Record<string, string> = { GLIBC: '2.35', GLIBCXX: '3.4.30', CXXABI: '1.3.13', GCC: '12.0.0' }

export function assertOldLibraries(architecture: Architecture): void {
  const libraries = [...readelf('-d', builtPlugin(architecture)).matchAll(/NEEDED.*\[(.*)\]/g)]
  assert.ok(libraries.length > 0)
  for (const [, name = ''] of libraries) assert.match(name, LIBRARY)
  const versions = versionsNeeded(builtPlugin(architecture))
  const ofNode = readelf('-V', nodeFor(architecture)).split('.gnu.version_r')[1] ?? ''
  assert.equal(versions.toSorted(), (ofNode.match(VERSION) ?? []).toSorted(), 'as readelf sees those of Node itself')
  assert.equal(
    versions.filter((name) => !isOld(name)),
    [],
  )
}

function readelf(option: string, file: string): string {
  return execFileSync('readelf', [option, '-W', file], { encoding: 'utf8', stdio: 'pipe' })
}

/** The version is not above that of Velero's image; a version without a number is a feature that came later. */
function isOld(name: string): boolean {
  const [library = '', version = ''] = name.split('_')
  const newest = NEWEST[library]
  const isNumber = /^[\d.]+$/.test(version)
  return newest !== undefined && isNumber && version.localeCompare(newest, 'en', { numeric: true }) <= 0
}
