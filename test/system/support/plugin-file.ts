// The built file of Velero's plugin, and root folders to run it in.

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROJECT } from '#test/environment/process/tools.ts'
import { hostArchitecture } from '../../../hack/node-binary.ts'
import { PLUGIN_FILE } from '../../../velero/install.ts'

export function builtPlugin(architecture = hostArchitecture()): string {
  return join(PROJECT, 'build/velero', architecture, PLUGIN_FILE)
}

/** Path of a folder with files of Debian packages. */
export function debianFiles(name: 'jammy-tiny' | 'arm64'): string {
  return execFileSync(join(PROJECT, 'test/tools/debian-files.sh'), [name], { encoding: 'utf8' }).trim()
}

export type Pod = { command: string[]; remove: () => void }

/** The user id of Velero in its image. */
const USER = 1002
/** All mounts are in a mount namespace of their own, and disappear with the process. */
const SCRIPT = `
set -e
mount --bind "$files" "$files" && mount -o remount,ro,bind "$files"
mount --bind "$plugins" "$files/plugins" && mount -o remount,ro,bind "$files/plugins"
[ -z "$scratch" ] || mount --bind "$scratch" "$files/scratch"
mount --rbind /proc "$files/proc" && mount --rbind /dev "$files/dev"
exec env -u files -u plugins -u scratch /usr/sbin/chroot --userspec=${USER}:${USER} --groups= "$files" "$@"
`

/** As in a pod of Velero with a read-only root: its files, its user, its plugins folder, and optionally a scratch volume. */
export function podOf(plugins: string, { scratch }: { scratch: boolean }): Pod {
  const folder = mkdtempSync(join(tmpdir(), 'pod-'))
  if (scratch) mkdirSync(join(folder, 'scratch'))
  chmodSync(folder, 0o755)
  if (scratch) chownSync(join(folder, 'scratch'), USER, USER)
  const variables = [
    `files=${debianFiles('jammy-tiny')}`,
    `plugins=${plugins}`,
    `scratch=${scratch ? join(folder, 'scratch') : ''}`,
  ]
  const isolated = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh']
  return {
    command: ['env', ...variables, ...isolated, `/plugins/${PLUGIN_FILE}`],
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
