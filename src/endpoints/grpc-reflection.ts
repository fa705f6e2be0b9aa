import { BinaryReader } from '@bufbuild/protobuf/wire'
import { ReflectionService } from '@grpc/reflection'
import { DESCRIPTORS } from '../gen/descriptors.ts'
import type { GrpcServer } from './grpc-server.ts'

/** gRPC server reflection, v1 and v1alpha: what grpcurl asks for. */
export function addReflection(server: GrpcServer): void {
  // All it reads of a package definition is the descriptors in it.
  const definition = { files: { fileDescriptorProtos: fileDescriptors() } } as unknown as ConstructorParameters<
    typeof ReflectionService
  >[0]
  new ReflectionService(definition).addToServer(server.library)
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
