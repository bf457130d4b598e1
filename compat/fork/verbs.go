package fork

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// VerbsFile is the file of Moby's tree that declares daemon.ImageService.
const VerbsFile = "daemon/image_service.go"

// OurVerbs are the methods of daemon.ImageService that Baleen's imageservice.Service
// answers, on all engine lines.
var OurVerbs = []string{
	"Changes",
	"CommitBuildStep",
	"CommitImage",
	"CreateLayer",
	"CreateLayerFromImage",
	"ExportImage",
	"GetContainerLayerSize",
	"GetImageAndReleasableLayer",
	"GetLayerByID",
	"GetLayerMountID",
	"ImportImage",
	"LayerStoreStatus",
	"LoadImage",
	"PullImage",
	"PushImage",
	"ReleaseLayer",
	"SquashImage",
	"StorageDriver",
	"TagImage",
}

// MobyVerbs are those that Moby's own service answers, on all engine lines: Baleen has
// no reason to answer them.
var MobyVerbs = []string{
	"Children",
	"Cleanup", // nothing of Baleen's is held between operations
	"CountImages",
	"CreateImage",
	"DistributionServices",
	"GetImage",
	"GetLayerFolders", // of Windows
	"ImageAttestations",
	"ImageDelete", // with a better reason for a conflict, in the glue
	"ImageDiskUsage",
	"ImageHistory",
	"ImageInspect",
	"ImagePrune",
	"Images",
	"ImagesPrune",
	"LogImageEvent",
	"MakeImageCache",
	"UpdateConfig",
}

// CheckVerbs reads the text of [VerbsFile], and returns an error that names each
// method of daemon.ImageService that is neither among [OurVerbs] nor [MobyVerbs]: Moby
// has a new verb, and somebody has to judge whose it is.
func CheckVerbs(text []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), VerbsFile, text, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("read the verbs of the image service: %w", err)
	}
	var names, unknown []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == "ImageService" {
			names = methods(spec.Type)
		}
		return true
	})
	if len(names) == 0 {
		return fmt.Errorf("read the verbs of the image service: %s has no interface ImageService with methods", VerbsFile)
	}
	for _, name := range names {
		if !slices.Contains(OurVerbs, name) && !slices.Contains(MobyVerbs, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("daemon.ImageService has new methods: %s; decide whether Baleen or Moby answers them, and add them to compat/fork/verbs.go", strings.Join(unknown, ", "))
	}
	return nil
}

// methods returns the names of an interface's methods. For an embedded interface it
// returns "embedded" and the type, which is in neither list of verbs.
func methods(of ast.Expr) []string {
	iface, ok := of.(*ast.InterfaceType)
	if !ok {
		return nil
	}
	var names []string
	for _, field := range iface.Methods.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
		if len(field.Names) == 0 {
			names = append(names, "embedded "+types.ExprString(field.Type))
		}
	}
	return names
}
