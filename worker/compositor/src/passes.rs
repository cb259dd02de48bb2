//! The GPU's steps: blending a draw over the canvas, and blurring a layer.
//!
//! A pass records into an encoder that it did not begin, into buffers that it did not make.

pub(crate) mod blend;
pub(crate) mod blur;

/// Every program there is.
#[cfg(test)]
pub(crate) fn programs() -> impl Iterator<Item = &'static crate::gpu::pipeline::Program> {
    blend::PROGRAMS.iter().chain(blur::PROGRAMS).copied()
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};
    use std::path::Path;

    use naga::front::wgsl;
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    use naga::{Module, TypeInner};

    use super::*;
    use crate::frame_graph::Uniforms;
    use crate::gpu::pipeline::Program;

    fn parse(program: &Program) -> Module {
        let source = program.source();
        let module = wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{}: {}", program.label, error.emit_to_string(&source)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
        if let Err(error) = validator.validate(&module) {
            panic!("{}: {}", program.label, error.emit_to_string(&source));
        }
        module
    }

    /// Size and member offsets of the block named `Params`.
    fn params(module: &Module) -> (usize, Vec<(String, usize)>) {
        let (_, block) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .expect("every program has a block of constants");
        let TypeInner::Struct { members, span } = &block.inner else { panic!("Params is a struct") };
        let member =
            |member: &naga::StructMember| (member.name.clone().unwrap_or_default(), member.offset as usize);
        (*span as usize, members.iter().map(member).collect())
    }

    #[test]
    fn every_program_is_valid_wgsl_and_binds_what_it_declares() {
        for program in programs() {
            let module = parse(program);
            let mut declared: Vec<u32> = module
                .global_variables
                .iter()
                .filter_map(|(_, variable)| variable.binding.map(|binding| binding.binding))
                .collect();
            declared.sort_unstable();
            let slots: Vec<u32> = program.slots.iter().map(|(binding, _)| *binding).collect();
            assert_eq!(declared, slots, "{}: shader and slot list name the same bindings", program.label);
        }
    }

    #[test]
    fn the_blocks_of_constants_have_the_same_layout_in_rust_and_wgsl() {
        let blend = params(&parse(blend::PROGRAMS[0]));
        assert_eq!(blend.0, size_of::<Uniforms>(), "size of the blend block");
        let expected = [
            ("edge_u", offset_of!(Uniforms, edge_u)),
            ("edge_v", offset_of!(Uniforms, edge_v)),
            ("slack", offset_of!(Uniforms, slack)),
            ("texel_x", offset_of!(Uniforms, texel_x)),
            ("texel_y", offset_of!(Uniforms, texel_y)),
            ("texel_clamp", offset_of!(Uniforms, texel_clamp)),
            ("chroma_map", offset_of!(Uniforms, chroma_map)),
            ("color", offset_of!(Uniforms, color)),
            ("origin", offset_of!(Uniforms, origin)),
            ("opacity", offset_of!(Uniforms, opacity)),
            ("step", offset_of!(Uniforms, step)),
            ("first_tile", offset_of!(Uniforms, first_tile)),
            ("row_words", offset_of!(Uniforms, row_words)),
            ("chroma_row_words", offset_of!(Uniforms, chroma_row_words)),
            ("chroma_plane_words", offset_of!(Uniforms, chroma_plane_words)),
            ("grid_row", offset_of!(Uniforms, grid_row)),
        ];
        assert_eq!(blend.1, expected.map(|(name, at)| (name.to_owned(), at)), "members of the blend block");
        let blur = params(&parse(&blur::HORIZONTAL));
        assert_eq!(blur.0, size_of::<blur::Params>(), "size of the blur block");
        let expected =
            [("rows", offset_of!(blur::Params, rows)), ("weights", offset_of!(blur::Params, weights))];
        assert_eq!(blur.1, expected.map(|(name, at)| (name.to_owned(), at)), "members of the blur block");
    }

    #[test]
    fn every_shader_file_is_part_of_a_program() {
        let all: String = programs().map(Program::source).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/passes");
        let mut count = 0;
        for folder in [folder.join("blend"), folder.join("blur")] {
            for entry in std::fs::read_dir(folder).expect("the folder of shaders") {
                let path = entry.expect("an entry").path();
                let text = std::fs::read_to_string(&path).expect("a text file");
                assert!(all.contains(&text), "{} is in no program", path.display());
                count += 1;
            }
        }
        assert!(count > 10, "the shaders were found");
    }
}
