// Finds, loads and starts VDDK inside a process that was started for it (docs/development/vddk.md#life-of-a-process,
// docs/development/vddk.md#loading).

import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import koffi from 'koffi'
import { TerminalError } from '#shared/kernel/errors.ts'
import { codeOf, VIX_OK, vddkError } from './errors.ts'
import { API_MAJOR, API_MINOR, bindVddk, type Pointer, type VddkFunctions } from './signatures.ts'

export type VddkLibrary = { readonly libDir: string; readonly path: string; readonly functions: VddkFunctions }

const NAMES = ['libvixDiskLib.so.9', 'libvixDiskLib.so.8', 'libvixDiskLib.so.7', 'libvixDiskLib.so.6']

/** The answer of InitEx when the requested version is not the library's. */
const VIX_E_NOT_SUPPORTED = 6

/**
 * One for each thread and path, kept for ever: koffi unmaps a library whose object was garbage-collected, while VDDK's threads run in it.
 */
const loaded = new Map<string, VddkLibrary>()
let initialised = false

/** `lib64/` of an unpacked distribution first, then the folder itself; the newest major version wins. */
export function findVddk(libDir: string): string {
  const folders = [join(resolve(libDir), 'lib64'), resolve(libDir)]
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((path) => existsSync(path))
  if (found !== undefined) return found
  const other = folders.flatMap((folder) => otherVersions(folder))[0]
  if (other !== undefined) throw unsupported(`${other} is of another version`)
  throw new TerminalError(
    'VddkNotFound',
    `VDDK not found in ${libDir}: there is no lib64/libvixDiskLib.so.{9,8,7,6}, nor one in the folder itself; ` +
      "set DORMOUSE_VDDK_DIR to where the VDDK was unpacked, or put the VDDK's vmware-vix-disklib-distrib there",
  )
}

function otherVersions(folder: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : []
  return names.filter((name) => /^libvixDiskLib\.so\.\d+$/.test(name)).map((name) => join(folder, name))
}

/** First Class Disks came with 6.7; versions after 9 have not been tried. */
function unsupported(what: string): TerminalError {
  return new TerminalError(
    'VddkVersionUnsupported',
    `${what}: Dormouse works with VDDK 6.7 to 9; unpack one that fits your vSphere (N-2 to N+1) at DORMOUSE_VDDK_DIR`,
  )
}

/**
 * The environment for the child process that will load VDDK. The loader reads LD_LIBRARY_PATH when a process starts; setting it later has
 * no effect (docs/development/vddk.md#loading).
 */
export function vddkEnvironment(libDir: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const folder = dirname(findVddk(libDir))
  const before = env['LD_LIBRARY_PATH']
  return { ...env, DORMOUSE_VDDK_DIR: resolve(libDir), LD_LIBRARY_PATH: before ? `${folder}:${before}` : folder }
}

/** For every thread that calls VDDK, including workers. Loading is cheap; InitEx is `initVddk`, called once on the main thread. */
export function loadVddk(libDir: string): VddkLibrary {
  const path = findVddk(libDir)
  const known = loaded.get(path)
  if (known !== undefined) return known
  const library = { libDir: resolve(libDir), path, functions: bind(loadDeep(path), path) }
  loaded.set(path, library)
  return library
}

/** Deep binding: without it, VDDK's calls into its own OpenSSL go to Node's OpenSSL (docs/development/vddk.md#loading). */
function loadDeep(path: string): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(path, { deep: true })
  } catch (cause) {
    throw new TerminalError(
      'VddkNotLoadable',
      `cannot load ${path}: ${cause instanceof Error ? cause.message : String(cause)}; the process that loads VDDK must be ` +
        `started with LD_LIBRARY_PATH=${dirname(path)} (vddkEnvironment), setting it later has no effect`,
      { cause },
    )
  }
}

/** A file of that name may be another library, or belong to a distribution that was not unpacked completely. */
function bind(library: ReturnType<typeof koffi.load>, path: string): VddkFunctions {
  try {
    return bindVddk(library)
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause)
    throw new TerminalError('VddkNotLoadable', `${path} is not VDDK, or not all of it: ${words}`, { cause })
  }
}

/**
 * Starts VDDK: once in a process, on its main thread, before the workers are created (docs/development/vddk.md#threads). Log lines go to
 * stderr through libc's vwarnx, whose signature is the log function's: no JavaScript runs on VDDK's threads
 * (docs/development/vddk.md#logging).
 */
export function initVddk(library: VddkLibrary, configFile: string | undefined): void {
  if (!isMainThread) throw new Error('initVddk must be called on the main thread')
  if (initialised) throw new Error('initVddk was called before in this process')
  initialised = true
  const log: Pointer = koffi.load(null).symbol('vwarnx')
  const { initEx } = library.functions
  const result = initEx(API_MAJOR, API_MINOR, log, log, log, library.libDir, configFile ?? null)
  if (codeOf(result) === VIX_E_NOT_SUPPORTED) throw unsupported(`${library.path} does not know the interface of 6.7`)
  check(library, 'InitEx', result, library.path)
}

/** The counterpart of initVddk, for when all disks are closed. A process that is about to end may omit it. */
export function exitVddk(library: VddkLibrary): void {
  library.functions.exit()
}

/** Returns when `result` is success, otherwise throws the error for its code. */
export function check(library: VddkLibrary, call: string, result: number | bigint, where: string): void {
  const code = codeOf(result)
  if (code !== VIX_OK) throw vddkError(call, code, where, library.functions.getErrorText(result, null))
}
