import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { handleBidiStreamingCall, MethodDefinition, Server } from '@grpc/grpc-js'
import type { ReflectionService } from '@grpc/reflection'
import { DESCRIPTORS } from '../gen/descriptors.ts'
import type { GrpcServer } from './grpc-server.ts'

/** The library's own way to answer one version of the protocol. */
type Method = {
  readonly definition: MethodDefinition<unknown, unknown>
  readonly handle: handleBidiStreamingCall<unknown, unknown>
}

const METHOD = 'ServerReflectionInfo'
const PATHS = ['v1', 'v1alpha'].map((version) => `/grpc.reflection.${version}.ServerReflection/${METHOD}`)

/** gRPC server reflection, v1 and v1alpha: what grpcurl asks for. */
export function addReflection(server: GrpcServer): void {
  // Hardly anybody asks, and to load the library takes a tenth of a server's start.
  let methods: Promise<ReadonlyMap<string, Method>> | undefined
  for (const path of PATHS) {
    let method: Method
    server.addService(
      {
        [METHOD]: {
          path,
          requestStream: true,
          responseStream: true,
          // No message is read before somebody listens for it.
          requestDeserialize: (bytes) => method.definition.requestDeserialize(bytes),
          responseSerialize: (answer) => method.definition.responseSerialize(answer),
          requestSerialize: () => unasked(),
          responseDeserialize: () => unasked(),
        },
      },
      {
        [METHOD]: ((stream) => {
          methods ??= loadMethods()
          methods.then(
            (loaded) => {
              method = loaded.get(path) as Method
              method.handle(stream)
            },
            (error) => stream.destroy(error),
          )
        }) satisfies Method['handle'],
      },
    )
  }
}

/** Only a client does it. */
function unasked(): never {
  throw new Error('a server neither writes requests nor reads answers')
}

async function loadMethods(): Promise<ReadonlyMap<string, Method>> {
  const library = await import('@grpc/reflection')
  // All it reads of a package definition is the descriptors in it.
  const definition = { files: { fileDescriptorProtos: fileDescriptors() } }
  const methods = new Map<string, Method>()
  const collecting: Pick<Server, 'addService'> = {
    addService(service, implementation) {
      for (const [name, method] of Object.entries(service))
        methods.set(method.path, { definition: method, handle: implementation[name] as Method['handle'] })
    },
  }
  new library.ReflectionService(
    definition as unknown as ConstructorParameters<typeof ReflectionService>[0],
  ).addToServer(collecting as Server)
  return methods
}

/** The files of a google.protobuf.FileDescriptorSet: its field 1, repeated. */
function fileDescriptors(): Buffer[] {
  const reader = new BinaryReader(Buffer.from(DESCRIPTORS, 'base64'))
  const files: Buffer[] = []
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 1) files.push(Buffer.from(reader.bytes()))
    else reader.skip(wireType)
  }
  return files
}
